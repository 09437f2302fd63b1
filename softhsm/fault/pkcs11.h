// The part of PKCS#11 2.40 that the shim looks at, for LP64 systems, where every argument of every function fits a word.

#ifndef EPOV_PKCS11_H
#define EPOV_PKCS11_H

typedef unsigned long word;

enum {
	CKR_OK = 0x00,
	CKR_GENERAL_ERROR = 0x05,
	CKR_ARGUMENTS_BAD = 0x07,
	CKR_DEVICE_REMOVED = 0x32,
	CKR_PIN_INCORRECT = 0xA0,
	CKR_PIN_LOCKED = 0xA4,
	CKR_SESSION_COUNT = 0xB1,
	CKR_SESSION_HANDLE_INVALID = 0xB3,
	CKR_TOKEN_NOT_PRESENT = 0xE0,
	CKR_CRYPTOKI_NOT_INITIALIZED = 0x190,

	CKU_SO = 0,
	CKS_RW_SO_FUNCTIONS = 4,
	CKO_PRIVATE_KEY = 3,
	CKA_CLASS = 0x00,
	CKA_GOSTR3410_PARAMS = 0x250,

	CKF_USER_PIN_COUNT_LOW = 0x10000,
	CKF_USER_PIN_FINAL_TRY = 0x20000,
	CKF_USER_PIN_LOCKED = 0x40000,
};

struct attribute {
	word type;
	void *value;
	word length;
};

struct token_info {
	char label[32], manufacturer[32], model[16], serial[16];
	word flags;
	// limits, counts and versions follow
};

// The functions in the order of CK_FUNCTION_LIST, each with the number of its arguments. ON_SESSION have the session's
// handle first.
#define FUNCTIONS(PLAIN, ON_SESSION) \
	PLAIN(Initialize, 1) PLAIN(Finalize, 1) PLAIN(GetInfo, 1) PLAIN(GetFunctionList, 1) PLAIN(GetSlotList, 3) \
	PLAIN(GetSlotInfo, 2) PLAIN(GetTokenInfo, 2) PLAIN(GetMechanismList, 3) PLAIN(GetMechanismInfo, 3) \
	PLAIN(InitToken, 4) ON_SESSION(InitPIN, 3) ON_SESSION(SetPIN, 5) PLAIN(OpenSession, 5) ON_SESSION(CloseSession, 1) \
	PLAIN(CloseAllSessions, 1) ON_SESSION(GetSessionInfo, 2) ON_SESSION(GetOperationState, 3) \
	ON_SESSION(SetOperationState, 5) ON_SESSION(Login, 4) ON_SESSION(Logout, 1) ON_SESSION(CreateObject, 4) \
	ON_SESSION(CopyObject, 5) ON_SESSION(DestroyObject, 2) ON_SESSION(GetObjectSize, 3) ON_SESSION(GetAttributeValue, 4) \
	ON_SESSION(SetAttributeValue, 4) ON_SESSION(FindObjectsInit, 3) ON_SESSION(FindObjects, 4) \
	ON_SESSION(FindObjectsFinal, 1) ON_SESSION(EncryptInit, 3) ON_SESSION(Encrypt, 5) ON_SESSION(EncryptUpdate, 5) \
	ON_SESSION(EncryptFinal, 3) ON_SESSION(DecryptInit, 3) ON_SESSION(Decrypt, 5) ON_SESSION(DecryptUpdate, 5) \
	ON_SESSION(DecryptFinal, 3) ON_SESSION(DigestInit, 2) ON_SESSION(Digest, 5) ON_SESSION(DigestUpdate, 3) \
	ON_SESSION(DigestKey, 2) ON_SESSION(DigestFinal, 3) ON_SESSION(SignInit, 3) ON_SESSION(Sign, 5) \
	ON_SESSION(SignUpdate, 3) ON_SESSION(SignFinal, 3) ON_SESSION(SignRecoverInit, 3) ON_SESSION(SignRecover, 5) \
	ON_SESSION(VerifyInit, 3) ON_SESSION(Verify, 5) ON_SESSION(VerifyUpdate, 3) ON_SESSION(VerifyFinal, 3) \
	ON_SESSION(VerifyRecoverInit, 3) ON_SESSION(VerifyRecover, 5) ON_SESSION(DigestEncryptUpdate, 5) \
	ON_SESSION(DecryptDigestUpdate, 5) ON_SESSION(SignEncryptUpdate, 5) ON_SESSION(DecryptVerifyUpdate, 5) \
	ON_SESSION(GenerateKey, 5) ON_SESSION(GenerateKeyPair, 8) ON_SESSION(WrapKey, 6) ON_SESSION(UnwrapKey, 8) \
	ON_SESSION(DeriveKey, 6) ON_SESSION(SeedRandom, 3) ON_SESSION(GenerateRandom, 3) ON_SESSION(GetFunctionStatus, 1) \
	ON_SESSION(CancelFunction, 1) PLAIN(WaitForSlotEvent, 3)

#define NAMED(name, arity) F_##name,
enum function { FUNCTIONS(NAMED, NAMED) FUNCTION_COUNT };
#undef NAMED

_Static_assert(FUNCTION_COUNT == 68, "PKCS#11 2.40 has 68 functions");
_Static_assert(sizeof(word) == sizeof(void *), "a word holds a pointer");

struct function_list {
	unsigned char major, minor;
	void *functions[FUNCTION_COUNT];
};

#endif
