/* Verifies documents with Apache Santuario and Bouncy Castle, one after the other; the pipe is that of Canon.java, whose form
 * is ignored. The answer is text: for each ds:Signature in document order "signature-N/signed-info BASE64" and
 * "signature-N/reference-M BASE64", the octets that were digested, and "signature-N valid" or "signature-N invalid". */
import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.security.Key;
import java.security.PrivateKey;
import java.security.PublicKey;
import java.security.SecureRandom;
import java.security.Security;
import java.security.Signature;
import java.security.spec.AlgorithmParameterSpec;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Comparator;
import java.util.Deque;
import java.util.List;
import javax.xml.parsers.DocumentBuilder;
import javax.xml.parsers.DocumentBuilderFactory;
import org.apache.xml.security.Init;
import org.apache.xml.security.algorithms.JCEMapper;
import org.apache.xml.security.algorithms.SignatureAlgorithm;
import org.apache.xml.security.algorithms.SignatureAlgorithmSpi;
import org.apache.xml.security.signature.XMLSignature;
import org.apache.xml.security.signature.XMLSignatureException;
import org.apache.xml.security.signature.XMLSignatureInput;
import org.apache.xml.security.transforms.Transform;
import org.apache.xml.security.transforms.TransformSpi;
import org.apache.xml.security.transforms.TransformationException;
import org.bouncycastle.asn1.ASN1Encodable;
import org.bouncycastle.asn1.ASN1ObjectIdentifier;
import org.bouncycastle.asn1.ASN1Sequence;
import org.bouncycastle.asn1.DERSequence;
import org.bouncycastle.asn1.x509.AlgorithmIdentifier;
import org.bouncycastle.asn1.x509.Certificate;
import org.bouncycastle.asn1.x509.SubjectPublicKeyInfo;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.w3c.dom.Attr;
import org.w3c.dom.Document;
import org.w3c.dom.Element;
import org.w3c.dom.Node;
import org.w3c.dom.NodeList;
import org.xml.sax.helpers.DefaultHandler;

public class Verify {
    static final String DS = "http://www.w3.org/2000/09/xmldsig#";
    static final String SMEV = "urn://smev-gov-ru/xmldsig/transform";
    static final String CP = "urn:ietf:params:xml:ns:cpxmlsec:algorithms:";
    static DocumentBuilder builder;

    public static void main(String[] args) throws Exception {
        Security.addProvider(new BouncyCastleProvider());
        Init.init();
        for (String bits : new String[] {"256", "512"}) {
            JCEMapper.register(CP + "gostr34112012-" + bits, new JCEMapper.Algorithm("", "GOST3411-2012-" + bits, "MessageDigest"));
        }
        SignatureAlgorithm.register(CP + "gostr34102012-gostr34112012-256", Gost256.class);
        SignatureAlgorithm.register(CP + "gostr34102012-gostr34112012-512", Gost512.class);
        Transform.register(SMEV, Smev.class);
        DocumentBuilderFactory factory = DocumentBuilderFactory.newInstance();
        factory.setNamespaceAware(true);
        factory.setFeature("http://apache.org/xml/features/disallow-doctype-decl", true);
        builder = factory.newDocumentBuilder();
        builder.setErrorHandler(new DefaultHandler());
        DataInputStream in = new DataInputStream(new BufferedInputStream(System.in));
        DataOutputStream out = new DataOutputStream(new BufferedOutputStream(System.out));
        for (out.writeByte(0);;) {
            out.flush();
            try {
                in.readUnsignedByte();
            } catch (EOFException e) {
                return;
            }
            byte[] doc = new byte[in.readInt()];
            in.readFully(doc);
            byte[] answer = {};
            int status = 0;
            try {
                answer = verify(doc).getBytes(StandardCharsets.US_ASCII);
            } catch (Exception e) {
                e.printStackTrace();
                status = 1;
            }
            out.writeByte(status);
            out.writeInt(answer.length);
            out.write(answer);
        }
    }

    static String verify(byte[] octets) throws Exception {
        Document doc = builder.parse(new ByteArrayInputStream(octets));
        identify(doc.getDocumentElement());
        NodeList signatures = doc.getElementsByTagNameNS(DS, "Signature");
        StringBuilder answer = new StringBuilder();
        for (int i = 0; i < signatures.getLength(); i++) {
            Element element = (Element) signatures.item(i);
            XMLSignature signature = new XMLSignature(element, "", false);
            boolean valid = signature.checkSignatureValue(key(element));
            line(answer, "signature-" + i + "/signed-info", signature.getSignedInfo().getCanonicalizedOctetStream());
            for (int j = 0; j < signature.getSignedInfo().getLength(); j++) {
                line(answer, "signature-" + i + "/reference-" + j, signature.getSignedInfo().item(j).getReferencedBytes());
            }
            answer.append("signature-").append(i).append(valid ? " valid\n" : " invalid\n");
        }
        return answer.toString();
    }

    static void line(StringBuilder answer, String name, byte[] octets) {
        answer.append(name).append(' ').append(Base64.getEncoder().encodeToString(octets)).append('\n');
    }

    static void identify(Element element) {
        for (int i = 0; i < element.getAttributes().getLength(); i++) {
            Attr attribute = (Attr) element.getAttributes().item(i);
            if ("Id".equals(attribute.getLocalName())) {
                element.setIdAttributeNode(attribute, true);
            }
        }
        for (Node n = element.getFirstChild(); n != null; n = n.getNextSibling()) {
            if (n instanceof Element) {
                identify((Element) n);
            }
        }
    }

    /** The key of the certificate in KeyInfo, or else in the token beside the Signature. */
    static PublicKey key(Element signature) throws Exception {
        Node holder = signature.getElementsByTagNameNS(DS, "X509Certificate").item(0);
        for (Node n = signature.getParentNode().getFirstChild(); holder == null && n != null; n = n.getNextSibling()) {
            if ("BinarySecurityToken".equals(n.getLocalName())) {
                holder = n;
            }
        }
        byte[] der = Base64.getMimeDecoder().decode(holder.getTextContent());
        SubjectPublicKeyInfo info = Certificate.getInstance(der).getSubjectPublicKeyInfo();
        ASN1Sequence parameters = ASN1Sequence.getInstance(info.getAlgorithm().getParameters());
        if (parameters.size() == 1) { // RFC 9215 leaves digestParamSet out where this version of Bouncy Castle wants one
            ASN1ObjectIdentifier algorithm = info.getAlgorithm().getAlgorithm();
            String digest = algorithm.getId().endsWith(".1") ? "1.2.643.7.1.1.2.2" : "1.2.643.7.1.1.2.3";
            ASN1Encodable[] both = {parameters.getObjectAt(0), new ASN1ObjectIdentifier(digest)};
            info = new SubjectPublicKeyInfo(new AlgorithmIdentifier(algorithm, new DERSequence(both)), info.parsePublicKey());
        }
        return BouncyCastleProvider.getPublicKey(info);
    }

    /** The transform of SMEV, as its description says, of what messages in these tests have. */
    public static class Smev extends TransformSpi {
        private final Deque<String[]> scope = new ArrayDeque<>();
        private int number;

        @Override
        protected String engineGetURI() {
            return SMEV;
        }

        @Override
        protected XMLSignatureInput enginePerformTransform(XMLSignatureInput input, OutputStream os, Transform transform)
                throws IOException, TransformationException {
            scope.clear();
            number = 0;
            StringBuilder out = new StringBuilder();
            try {
                write(out, builder.parse(new ByteArrayInputStream(input.getBytes())).getDocumentElement());
            } catch (Exception e) {
                throw new TransformationException(e);
            }
            byte[] octets = out.toString().getBytes(StandardCharsets.UTF_8);
            if (os != null) {
                os.write(octets);
                XMLSignatureInput output = new XMLSignatureInput((byte[]) null);
                output.setOutputStream(os);
                return output;
            }
            return new XMLSignatureInput(octets);
        }

        private String prefix(String uri, List<String[]> fresh) {
            for (String[] known : scope) {
                if (known[0].equals(uri)) {
                    return known[1];
                }
            }
            String[] made = {uri, "ns" + ++number};
            scope.push(made);
            fresh.add(made);
            return made[1];
        }

        private void write(StringBuilder out, Element element) {
            List<String[]> fresh = new ArrayList<>();
            String name = prefix(element.getNamespaceURI(), fresh) + ":" + element.getLocalName();
            List<Attr> attributes = new ArrayList<>();
            for (int i = 0; i < element.getAttributes().getLength(); i++) {
                Attr attribute = (Attr) element.getAttributes().item(i);
                if (!"http://www.w3.org/2000/xmlns/".equals(attribute.getNamespaceURI())) {
                    attributes.add(attribute);
                }
            }
            attributes.sort(Comparator.comparing((Attr a) -> a.getNamespaceURI() == null)
                .thenComparing(a -> a.getNamespaceURI() == null ? "" : a.getNamespaceURI()).thenComparing(Attr::getLocalName));
            StringBuilder written = new StringBuilder();
            for (Attr a : attributes) {
                String p = a.getNamespaceURI() == null ? "" : prefix(a.getNamespaceURI(), fresh) + ":";
                written.append(' ').append(p).append(a.getLocalName()).append("=\"").append(escape(a.getValue(), true)).append('"');
            }
            out.append('<').append(name);
            for (String[] made : fresh) {
                out.append(" xmlns:").append(made[1]).append("=\"").append(escape(made[0], true)).append('"');
            }
            out.append(written).append('>');
            for (Node n = element.getFirstChild(); n != null; n = n.getNextSibling()) {
                if (n instanceof Element) {
                    write(out, (Element) n);
                } else if (n.getNodeType() == Node.TEXT_NODE && !n.getNodeValue().trim().isEmpty()) {
                    out.append(escape(n.getNodeValue(), false));
                }
            }
            out.append("</").append(name).append('>');
            fresh.forEach(scope::remove);
        }

        private static String escape(String s, boolean attribute) {
            s = s.replace("&", "&amp;").replace("<", "&lt;").replace("\r", "&#xd;");
            return attribute ? s.replace("\"", "&quot;").replace("\n", "&#xa;").replace("\t", "&#x9;") : s;
        }
    }

    public static class Gost256 extends Gost {
        public Gost256() throws XMLSignatureException {
            super("256");
        }
    }

    public static class Gost512 extends Gost {
        public Gost512() throws XMLSignatureException {
            super("512");
        }
    }

    /** GOST R 34.10-2012, which Santuario does not know. */
    abstract static class Gost extends SignatureAlgorithmSpi {
        private final Signature signature;
        private final String bits;

        Gost(String bits) throws XMLSignatureException {
            this.bits = bits;
            try {
                signature = Signature.getInstance("GOST3411-2012-" + bits + "WITHECGOST3410-2012-" + bits, "BC");
            } catch (Exception e) {
                throw new XMLSignatureException(e);
            }
        }

        interface Act {
            void run() throws Exception;
        }

        private static void attempt(Act act) throws XMLSignatureException {
            try {
                act.run();
            } catch (Exception e) {
                throw new XMLSignatureException(e);
            }
        }

        @Override
        protected String engineGetURI() {
            return CP + "gostr34102012-gostr34112012-" + bits;
        }

        @Override
        protected String engineGetJCEAlgorithmString() {
            return signature.getAlgorithm();
        }

        @Override
        protected String engineGetJCEProviderName() {
            return "BC";
        }

        @Override
        protected void engineUpdate(byte[] input) throws XMLSignatureException {
            attempt(() -> signature.update(input));
        }

        @Override
        protected void engineUpdate(byte input) throws XMLSignatureException {
            attempt(() -> signature.update(input));
        }

        @Override
        protected void engineUpdate(byte[] buffer, int offset, int length) throws XMLSignatureException {
            attempt(() -> signature.update(buffer, offset, length));
        }

        @Override
        protected void engineInitSign(Key key) throws XMLSignatureException {
            attempt(() -> signature.initSign((PrivateKey) key));
        }

        @Override
        protected void engineInitSign(Key key, SecureRandom random) throws XMLSignatureException {
            engineInitSign(key);
        }

        @Override
        protected void engineInitSign(Key key, AlgorithmParameterSpec parameters) throws XMLSignatureException {
            engineInitSign(key);
        }

        @Override
        protected byte[] engineSign() throws XMLSignatureException {
            try {
                return signature.sign();
            } catch (Exception e) {
                throw new XMLSignatureException(e);
            }
        }

        @Override
        protected void engineInitVerify(Key key) throws XMLSignatureException {
            attempt(() -> signature.initVerify((PublicKey) key));
        }

        @Override
        protected boolean engineVerify(byte[] value) throws XMLSignatureException {
            try {
                return signature.verify(value);
            } catch (Exception e) {
                throw new XMLSignatureException(e);
            }
        }

        @Override
        protected void engineSetHMACOutputLength(int length) {
        }

        @Override
        protected void engineSetParameter(AlgorithmParameterSpec parameters) {
        }
    }
}
