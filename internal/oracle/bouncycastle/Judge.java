/* Judges CMS messages and time-stamp tokens with Bouncy Castle, one after the other: writes a zero octet when it is ready,
 * then reads a request, writes an answer, until its input ends.
 *
 *   request: what it is about (one octet), length (four octets, big-endian), parts; a part is a length and octets
 *   answer:  0 (one octet), length (four octets), text: "valid ..." or "invalid ..."
 *
 * About 0, a message: its octets, and the content when it is detached. The text counts signers, countersignatures and
 * time-stamps, all of which verify.
 * About 1, a time-stamp token: its octets, and what it is about. The text names its time. */
import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.ByteArrayInputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.EOFException;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.Security;
import java.text.SimpleDateFormat;
import java.util.Arrays;
import java.util.Collection;
import java.util.TimeZone;
import org.bouncycastle.asn1.ASN1Encodable;
import org.bouncycastle.asn1.ASN1EncodableVector;
import org.bouncycastle.asn1.cms.Attribute;
import org.bouncycastle.asn1.pkcs.PKCSObjectIdentifiers;
import org.bouncycastle.cert.X509CertificateHolder;
import org.bouncycastle.cms.CMSException;
import org.bouncycastle.cms.CMSProcessableByteArray;
import org.bouncycastle.cms.CMSSignedData;
import org.bouncycastle.cms.SignerInformation;
import org.bouncycastle.cms.jcajce.JcaSimpleSignerInfoVerifierBuilder;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.tsp.TimeStampToken;
import org.bouncycastle.util.Store;

class Judge {
    static final JcaSimpleSignerInfoVerifierBuilder verifier = new JcaSimpleSignerInfoVerifierBuilder().setProvider("BC");

    public static void main(String[] args) throws Exception {
        Security.addProvider(new BouncyCastleProvider());
        DataInputStream in = new DataInputStream(new BufferedInputStream(System.in));
        DataOutputStream out = new DataOutputStream(new BufferedOutputStream(System.out));
        for (out.writeByte(0);;) {
            out.flush();
            int about;
            try {
                about = in.readUnsignedByte();
            } catch (EOFException e) {
                return;
            }
            byte[] request = new byte[in.readInt()];
            in.readFully(request);
            String text;
            try {
                DataInputStream parts = new DataInputStream(new ByteArrayInputStream(request));
                text = about == 0 ? message(part(parts), part(parts)) : token(new TimeStampToken(new CMSSignedData(part(parts))), part(parts));
            } catch (Exception e) {
                text = "invalid " + e;
            }
            byte[] answer = text.getBytes(StandardCharsets.UTF_8);
            out.writeByte(0);
            out.writeInt(answer.length);
            out.write(answer);
        }
    }

    static byte[] part(DataInputStream in) throws Exception {
        int size = in.readInt();
        if (size < 0) {
            return null;
        }
        byte[] octets = new byte[size];
        in.readFully(octets);
        return octets;
    }

    static int counters, stamps;

    static String message(byte[] message, byte[] content) throws Exception {
        CMSSignedData data = content == null ? new CMSSignedData(message) : new CMSSignedData(new CMSProcessableByteArray(content), message);
        counters = stamps = 0;
        Collection<SignerInformation> signers = data.getSignerInfos().getSigners();
        for (SignerInformation signer : signers) {
            judge(signer, data.getCertificates());
        }
        return "valid signers=" + signers.size() + " countersignatures=" + counters + " timestamps=" + stamps;
    }

    static void judge(SignerInformation signer, Store<X509CertificateHolder> store) throws Exception {
        Collection<X509CertificateHolder> found = store.getMatches(signer.getSID());
        if (found.size() != 1) {
            throw new CMSException("no certificate, or more than one");
        }
        if (!signer.verify(verifier.build(found.iterator().next()))) {
            throw new CMSException("the signature does not verify");
        }
        for (SignerInformation counter : signer.getCounterSignatures().getSigners()) {
            judge(counter, store);
            counters++;
        }
        if (signer.getUnsignedAttributes() == null) {
            return;
        }
        ASN1EncodableVector list = signer.getUnsignedAttributes().getAll(PKCSObjectIdentifiers.id_aa_signatureTimeStampToken);
        for (int i = 0; i < list.size(); i++) {
            for (ASN1Encodable value : ((Attribute) list.get(i)).getAttrValues()) {
                token(new TimeStampToken(new CMSSignedData(value.toASN1Primitive().getEncoded())), signer.getSignature());
                stamps++;
            }
        }
    }

    static String token(TimeStampToken token, byte[] about) throws Exception {
        Collection<X509CertificateHolder> found = token.getCertificates().getMatches(token.getSID());
        if (found.size() != 1) {
            throw new CMSException("no certificate of the authority, or more than one");
        }
        token.validate(verifier.build(found.iterator().next()));
        byte[] digest = MessageDigest.getInstance(token.getTimeStampInfo().getMessageImprintAlgOID().getId(), "BC").digest(about);
        if (!Arrays.equals(digest, token.getTimeStampInfo().getMessageImprintDigest())) {
            throw new CMSException("imprint mismatch");
        }
        SimpleDateFormat format = new SimpleDateFormat("yyyy-MM-dd'T'HH:mm:ss'Z'");
        format.setTimeZone(TimeZone.getTimeZone("UTC"));
        return "valid time=" + format.format(token.getTimeStampInfo().getGenTime());
    }
}
