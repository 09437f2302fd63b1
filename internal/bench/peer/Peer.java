import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.InputStreamReader;
import java.lang.management.ManagementFactory;
import java.math.BigInteger;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.SecureRandom;
import javax.xml.parsers.DocumentBuilderFactory;
import org.apache.xml.security.Init;
import org.apache.xml.security.c14n.Canonicalizer;
import org.bouncycastle.asn1.cryptopro.ECGOST3410NamedCurves;
import org.bouncycastle.crypto.AsymmetricCipherKeyPair;
import org.bouncycastle.crypto.digests.GOST3411_2012_256Digest;
import org.bouncycastle.crypto.generators.ECKeyPairGenerator;
import org.bouncycastle.crypto.params.ECDomainParameters;
import org.bouncycastle.crypto.params.ECKeyGenerationParameters;
import org.bouncycastle.crypto.params.ParametersWithRandom;
import org.bouncycastle.crypto.signers.ECGOST3410Signer;

/**
 * Bouncy Castle and Apache Santuario as peers, on a virtual machine that has warmed up:
 * {@code java Peer OPERATION FILE} repeats the operation for some seconds, prints "ready", and then answers each line
 * with a number of milliseconds by the nanoseconds of processor time that one operation took.
 */
public class Peer {
	interface Operation {
		void run() throws Exception;
	}

	public static void main(String[] args) throws Exception {
		Operation op = operation(args[0], Files.readAllBytes(Path.of(args[1])));
		measure(op, 4000);
		System.out.println("ready");
		BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
		for (String line = in.readLine(); line != null; line = in.readLine()) {
			System.out.println(measure(op, Long.parseLong(line)));
		}
	}

	/** Processor time of this thread alone: what the compiler and the collector take beside it is left out, in the peer's favour. */
	static long measure(Operation op, long milliseconds) throws Exception {
		var threads = ManagementFactory.getThreadMXBean();
		long start = threads.getCurrentThreadCpuTime(), spent, n = 0;
		do {
			op.run();
			n++;
			spent = threads.getCurrentThreadCpuTime() - start;
		} while (spent < milliseconds * 1_000_000);
		return spent / n;
	}

	static Operation operation(String name, byte[] input) throws Exception {
		if (name.equals("c14n")) {
			Init.init();
			var factory = DocumentBuilderFactory.newInstance();
			factory.setNamespaceAware(true);
			var builder = factory.newDocumentBuilder();
			var form = Canonicalizer.getInstance(Canonicalizer.ALGO_ID_C14N_EXCL_OMIT_COMMENTS);
			return () -> form.canonicalizeSubtree(builder.parse(new ByteArrayInputStream(input)));
		}
		if (name.equals("hash256")) {
			byte[] out = new byte[32];
			return () -> {
				var digest = new GOST3411_2012_256Digest();
				digest.update(input, 0, input.length);
				digest.doFinal(out, 0);
			};
		}
		var curve = ECGOST3410NamedCurves.getByNameX9("GostR3410-2001-CryptoPro-A");
		var domain = new ECDomainParameters(curve.getCurve(), curve.getG(), curve.getN(), curve.getH());
		var generator = new ECKeyPairGenerator();
		var random = new SecureRandom();
		generator.init(new ECKeyGenerationParameters(domain, random));
		AsymmetricCipherKeyPair pair = generator.generateKeyPair();
		byte[] digest = new byte[32];
		random.nextBytes(digest);
		var signer = new ECGOST3410Signer();
		signer.init(true, new ParametersWithRandom(pair.getPrivate(), random));
		if (name.equals("sign256")) {
			return () -> signer.generateSignature(digest);
		}
		BigInteger[] signature = signer.generateSignature(digest);
		var verifier = new ECGOST3410Signer();
		verifier.init(false, pair.getPublic());
		return () -> {
			if (!verifier.verifySignature(digest, signature[0], signature[1])) {
				throw new IllegalStateException("does not verify");
			}
		};
	}
}
