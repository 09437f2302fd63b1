package p11

import "github.com/miekg/pkcs11"

// Return codes, by PKCS#11 2.40 section 4.
const (
	HostMemory              Error = pkcs11.CKR_HOST_MEMORY
	SlotIDInvalid           Error = pkcs11.CKR_SLOT_ID_INVALID
	GeneralError            Error = pkcs11.CKR_GENERAL_ERROR
	FunctionFailed          Error = pkcs11.CKR_FUNCTION_FAILED
	NeedToCreateThreads     Error = pkcs11.CKR_NEED_TO_CREATE_THREADS
	CantLock                Error = pkcs11.CKR_CANT_LOCK
	ArgumentsBad            Error = pkcs11.CKR_ARGUMENTS_BAD
	AttributeReadOnly       Error = pkcs11.CKR_ATTRIBUTE_READ_ONLY
	AttributeSensitive      Error = pkcs11.CKR_ATTRIBUTE_SENSITIVE
	AttributeTypeInvalid    Error = pkcs11.CKR_ATTRIBUTE_TYPE_INVALID
	DataInvalid             Error = pkcs11.CKR_DATA_INVALID
	DataLenRange            Error = pkcs11.CKR_DATA_LEN_RANGE
	DeviceError             Error = pkcs11.CKR_DEVICE_ERROR
	DeviceMemory            Error = pkcs11.CKR_DEVICE_MEMORY
	DeviceRemoved           Error = pkcs11.CKR_DEVICE_REMOVED
	FunctionCanceled        Error = pkcs11.CKR_FUNCTION_CANCELED
	FunctionNotSupported    Error = pkcs11.CKR_FUNCTION_NOT_SUPPORTED
	KeyHandleInvalid        Error = pkcs11.CKR_KEY_HANDLE_INVALID
	KeyTypeInconsistent     Error = pkcs11.CKR_KEY_TYPE_INCONSISTENT
	KeyFunctionNotPermitted Error = pkcs11.CKR_KEY_FUNCTION_NOT_PERMITTED
	MechanismInvalid        Error = pkcs11.CKR_MECHANISM_INVALID
	MechanismParamInvalid   Error = pkcs11.CKR_MECHANISM_PARAM_INVALID
	ObjectHandleInvalid     Error = pkcs11.CKR_OBJECT_HANDLE_INVALID
	OperationActive         Error = pkcs11.CKR_OPERATION_ACTIVE
	OperationNotInitialized Error = pkcs11.CKR_OPERATION_NOT_INITIALIZED
	PINIncorrect            Error = pkcs11.CKR_PIN_INCORRECT
	PINInvalid              Error = pkcs11.CKR_PIN_INVALID
	PINLenRange             Error = pkcs11.CKR_PIN_LEN_RANGE
	PINExpired              Error = pkcs11.CKR_PIN_EXPIRED
	PINLocked               Error = pkcs11.CKR_PIN_LOCKED
	SessionClosed           Error = pkcs11.CKR_SESSION_CLOSED
	SessionCount            Error = pkcs11.CKR_SESSION_COUNT
	SessionHandleInvalid    Error = pkcs11.CKR_SESSION_HANDLE_INVALID
	TemplateIncomplete      Error = pkcs11.CKR_TEMPLATE_INCOMPLETE
	TemplateInconsistent    Error = pkcs11.CKR_TEMPLATE_INCONSISTENT
	TokenNotPresent         Error = pkcs11.CKR_TOKEN_NOT_PRESENT
	TokenNotRecognized      Error = pkcs11.CKR_TOKEN_NOT_RECOGNIZED
	UserAlreadyLoggedIn     Error = pkcs11.CKR_USER_ALREADY_LOGGED_IN
	UserNotLoggedIn         Error = pkcs11.CKR_USER_NOT_LOGGED_IN
	SessionReadOnly         Error = pkcs11.CKR_SESSION_READ_ONLY
	SessionReadOnlyExists   Error = pkcs11.CKR_SESSION_READ_ONLY_EXISTS
	SessionSOExists         Error = pkcs11.CKR_SESSION_READ_WRITE_SO_EXISTS
	TokenWriteProtected     Error = pkcs11.CKR_TOKEN_WRITE_PROTECTED
	UserTypeInvalid         Error = pkcs11.CKR_USER_TYPE_INVALID
	UserAnotherLoggedIn     Error = pkcs11.CKR_USER_ANOTHER_ALREADY_LOGGED_IN
	UserPINNotInitialized   Error = pkcs11.CKR_USER_PIN_NOT_INITIALIZED
	CryptokiNotInitialized  Error = pkcs11.CKR_CRYPTOKI_NOT_INITIALIZED
	CryptokiInitialized     Error = pkcs11.CKR_CRYPTOKI_ALREADY_INITIALIZED
	VendorDefined           Error = 0x80000000
)

// Token flags.
const (
	FlagLoginRequired    uint = pkcs11.CKF_LOGIN_REQUIRED
	FlagUserPINSet       uint = pkcs11.CKF_USER_PIN_INITIALIZED
	FlagClock            uint = pkcs11.CKF_CLOCK_ON_TOKEN
	FlagProtectedPath    uint = pkcs11.CKF_PROTECTED_AUTHENTICATION_PATH
	FlagTokenInitialised uint = pkcs11.CKF_TOKEN_INITIALIZED
	FlagPINCountLow      uint = pkcs11.CKF_USER_PIN_COUNT_LOW
	FlagPINFinalTry      uint = pkcs11.CKF_USER_PIN_FINAL_TRY
	FlagPINLocked        uint = pkcs11.CKF_USER_PIN_LOCKED
	FlagPINToBeChanged   uint = pkcs11.CKF_USER_PIN_TO_BE_CHANGED
	FlagSOPINFinalTry    uint = pkcs11.CKF_SO_PIN_FINAL_TRY
	FlagSOPINLocked      uint = pkcs11.CKF_SO_PIN_LOCKED
	User                 uint = pkcs11.CKU_USER
	SecurityOfficer      uint = pkcs11.CKU_SO
	ContextSpecific      uint = pkcs11.CKU_CONTEXT_SPECIFIC // for the operation that was begun, see Library
	ClassCertificate     uint = pkcs11.CKO_CERTIFICATE
	ClassPublicKey       uint = pkcs11.CKO_PUBLIC_KEY
	ClassPrivateKey      uint = pkcs11.CKO_PRIVATE_KEY
	CertificateX509      uint = pkcs11.CKC_X_509
	KeyTypeRSA           uint = pkcs11.CKK_RSA
	KeyTypeEC            uint = pkcs11.CKK_EC
	KeyTypeGOST          uint = pkcs11.CKK_GOSTR3410
	MechRSA              uint = pkcs11.CKM_RSA_PKCS
	MechECDSA            uint = pkcs11.CKM_ECDSA
	MechGOST             uint = pkcs11.CKM_GOSTR3410
	MechGOSTKeyPair      uint = pkcs11.CKM_GOSTR3410_KEY_PAIR_GEN
	AttrClass            uint = pkcs11.CKA_CLASS
	AttrToken            uint = pkcs11.CKA_TOKEN
	AttrPrivate          uint = pkcs11.CKA_PRIVATE
	AttrLabel            uint = pkcs11.CKA_LABEL
	AttrValue            uint = pkcs11.CKA_VALUE
	AttrCertificateType  uint = pkcs11.CKA_CERTIFICATE_TYPE
	AttrIssuer           uint = pkcs11.CKA_ISSUER
	AttrSerialNumber     uint = pkcs11.CKA_SERIAL_NUMBER
	AttrSubject          uint = pkcs11.CKA_SUBJECT
	AttrID               uint = pkcs11.CKA_ID
	AttrKeyType          uint = pkcs11.CKA_KEY_TYPE
	AttrSensitive        uint = pkcs11.CKA_SENSITIVE
	AttrExtractable      uint = pkcs11.CKA_EXTRACTABLE
	AttrAlwaysSensitive  uint = pkcs11.CKA_ALWAYS_SENSITIVE
	AttrNeverExtractable uint = pkcs11.CKA_NEVER_EXTRACTABLE
	AttrAlwaysAuth       uint = pkcs11.CKA_ALWAYS_AUTHENTICATE
	AttrLocal            uint = pkcs11.CKA_LOCAL
	AttrModifiable       uint = pkcs11.CKA_MODIFIABLE
	AttrUnwrap           uint = pkcs11.CKA_UNWRAP
	AttrValueLen         uint = pkcs11.CKA_VALUE_LEN
	AttrSign             uint = pkcs11.CKA_SIGN
	AttrVerify           uint = pkcs11.CKA_VERIFY
	AttrGOSTR3410Params  uint = pkcs11.CKA_GOSTR3410_PARAMS
	AttrGOSTR3411Params  uint = pkcs11.CKA_GOSTR3411_PARAMS
	AttrGOST28147Params  uint = pkcs11.CKA_GOST28147_PARAMS
	AttrRutokenPINPad    uint = 0x80002000 // PIN entry on the device
	AttrRutokenConfirm   uint = 0x80002001 // confirmation on the device
	AttrRutokenTouch     uint = 0x80002003 // each signature waits for a touch of the button
)

// The TC26 extension, which the binding lacks: base 0xD4321000.
const (
	KeyTypeGOST512     uint = 0xD4321003
	MechGOST512KeyPair uint = 0xD4321005
	MechGOST512        uint = 0xD4321006
)
