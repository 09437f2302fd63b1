/* Botan as a peer, one operation a run:
 *
 *   botan MILLISECONDS OPERATION [FILE]
 *
 * repeats the operation for about that long and prints the nanoseconds of processor time that one took. */
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <vector>
#include <botan/auto_rng.h>
#include <botan/gost_3410.h>
#include <botan/hash.h>
#include <botan/pubkey.h>

static double cpu_ns() {
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

int main(int argc, char **argv) {
	if (argc < 3) {
		fprintf(stderr, "usage: botan MILLISECONDS OPERATION [FILE]\n");
		return 2;
	}
	const double budget = atof(argv[1]) * 1e6;
	const std::string name = argv[2];
	std::vector<uint8_t> input;
	if (argc > 3) {
		std::ifstream file(argv[3], std::ios::binary);
		input.assign(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
	}
	Botan::AutoSeeded_RNG rng;
	Botan::GOST_3410_PrivateKey key(rng, Botan::EC_Group("gost_256A"));
	Botan::PK_Signer signer(key, rng, "Raw");
	Botan::PK_Verifier verifier(key, "Raw");
	const std::vector<uint8_t> digest(32, 0x5a);
	std::vector<uint8_t> signature = signer.sign_message(digest, rng);
	auto hash = Botan::HashFunction::create_or_throw("Streebog-256");
	std::function<void()> op;
	if (name == "hash256") {
		op = [&] { hash->update(input.data(), input.size()); hash->final(); };
	} else if (name == "sign256") {
		op = [&] { signature = signer.sign_message(digest, rng); };
	} else if (name == "verify256") {
		op = [&] { if (!verifier.verify_message(digest, signature)) { fprintf(stderr, "botan: does not verify\n"); exit(1); } };
	} else {
		fprintf(stderr, "botan: no operation %s\n", name.c_str());
		return 2;
	}
	op();
	long n = 0;
	const double start = cpu_ns();
	double spent = 0;
	do {
		op();
		n++;
		spent = cpu_ns() - start;
	} while (spent < budget);
	printf("%.0f\n", spent / n);
	return 0;
}
