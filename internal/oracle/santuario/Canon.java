/* Canonicalizes whole documents with Apache Santuario as the JDK ships it, one after the other: writes a zero octet when it
 * is ready, then reads a request, writes an answer, until its input ends.
 *
 *   request: form (one octet), length (four octets, big-endian), document
 *   answer:  0 for success (one octet), length (four octets), canonical octets; not 0 and length 0 where it is refused
 *
 * Forms: 0 inclusive 1.0, 1 exclusive, 2 inclusive 1.1; 64 more for a node-set of all nodes, where Santuario parses octets
 * otherwise; 128 more with comments. */
import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.ByteArrayInputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.EOFException;
import java.util.ArrayList;
import java.util.List;
import javax.xml.crypto.Data;
import javax.xml.crypto.NodeSetData;
import javax.xml.crypto.OctetStreamData;
import javax.xml.crypto.dsig.TransformException;
import javax.xml.crypto.dsig.TransformService;
import javax.xml.crypto.dsig.spec.TransformParameterSpec;
import javax.xml.parsers.DocumentBuilder;
import javax.xml.parsers.DocumentBuilderFactory;
import org.w3c.dom.NamedNodeMap;
import org.w3c.dom.Node;
import org.xml.sax.SAXException;
import org.xml.sax.helpers.DefaultHandler;

class Canon {
    static final int NODES = 64, COMMENTS = 128;
    static final String[] FORMS = {
        "http://www.w3.org/TR/2001/REC-xml-c14n-20010315", "http://www.w3.org/2001/10/xml-exc-c14n#",
        "http://www.w3.org/2006/12/xml-c14n11",
    };

    public static void main(String[] args) throws Exception {
        DocumentBuilderFactory factory = DocumentBuilderFactory.newInstance();
        factory.setNamespaceAware(true);
        factory.setFeature("http://apache.org/xml/features/disallow-doctype-decl", true);
        DocumentBuilder builder = factory.newDocumentBuilder();
        builder.setErrorHandler(new DefaultHandler()); // says nothing
        DataInputStream in = new DataInputStream(new BufferedInputStream(System.in));
        DataOutputStream out = new DataOutputStream(new BufferedOutputStream(System.out));
        for (out.writeByte(0);;) {
            out.flush();
            int form;
            try {
                form = in.readUnsignedByte();
            } catch (EOFException e) {
                return;
            }
            byte[] doc = new byte[in.readInt()];
            in.readFully(doc);
            byte[] octets = {};
            int status = 0;
            try {
                octets = canonicalize(builder, form, doc);
            } catch (SAXException | TransformException e) {
                status = 1;
            }
            out.writeByte(status);
            out.writeInt(octets.length);
            out.write(octets);
        }
    }

    static byte[] canonicalize(DocumentBuilder builder, int form, byte[] doc) throws Exception {
        String uri = FORMS[form & ~(NODES | COMMENTS)];
        if ((form & COMMENTS) != 0) {
            uri += uri.endsWith("#") ? "WithComments" : "#WithComments";
        }
        TransformService service = TransformService.getInstance(uri, "DOM");
        service.init((TransformParameterSpec) null);
        Node parsed = builder.parse(new ByteArrayInputStream(doc)); // DTDs are refused whatever Santuario's parser does
        Data data = new OctetStreamData(new ByteArrayInputStream(doc));
        if ((form & NODES) != 0) {
            List<Node> nodes = new ArrayList<>();
            collect(parsed, nodes);
            data = (NodeSetData<Node>) nodes::iterator;
        }
        return ((OctetStreamData) service.transform(data, null)).getOctetStream().readAllBytes();
    }

    static void collect(Node node, List<Node> nodes) {
        nodes.add(node);
        NamedNodeMap attributes = node.getAttributes();
        for (int i = 0; attributes != null && i < attributes.getLength(); i++) {
            nodes.add(attributes.item(i));
        }
        for (Node child = node.getFirstChild(); child != null; child = child.getNextSibling()) {
            collect(child, nodes);
        }
    }
}
