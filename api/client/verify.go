package client

import (
	"context"
	"fmt"
	"strings"

	"github.com/epov-signer/epov/api/epovpb"
)

// InvalidError says that a message was examined and the verdict is not VALID. The report says why.
type InvalidError struct {
	Verdict, Integrity epovpb.Verdict
	Report             *epovpb.Report
}

func (e *InvalidError) Error() string {
	for _, c := range failedFirst(e.Report) {
		return fmt.Sprintf("client: the message is %s: %s: %s", name(e.Verdict), c.GetCode(), c.GetMessage())
	}
	return "client: the message is " + name(e.Verdict)
}

func name(v epovpb.Verdict) string {
	return strings.ToLower(strings.TrimPrefix(v.String(), "VERDICT_"))
}

// failedFirst lists the checks that keep a message from being valid, failed ones before those that could not be made.
func failedFirst(r *epovpb.Report) (out []*epovpb.Check) {
	for _, status := range []epovpb.CheckStatus{epovpb.CheckStatus_CHECK_STATUS_FAILED, epovpb.CheckStatus_CHECK_STATUS_NOT_CHECKED} {
		all := [][]*epovpb.Check{r.GetChecks()}
		for _, s := range r.GetSignatures() {
			all = append(all, s.GetChecks())
		}
		for _, list := range all {
			for _, c := range list {
				if c.GetStatus() == status {
					out = append(out, c)
				}
			}
		}
	}
	return out
}

// VerifyXML examines every signature of a document. The error is nil only when the verdict is VALID; it is an *InvalidError
// when the document was examined and is not, and then the answer is there too.
func (c *Client) VerifyXML(ctx context.Context, req *epovpb.VerifyXmlRequest) (*epovpb.VerifyXmlResponse, error) {
	answer, err := c.Verify.VerifyXml(ctx, req)
	if err != nil {
		return nil, err
	}
	return answer, judge(answer)
}

// VerifyCMS is VerifyXML for CMS messages.
func (c *Client) VerifyCMS(ctx context.Context, req *epovpb.VerifyCmsRequest) (*epovpb.VerifyCmsResponse, error) {
	answer, err := c.Verify.VerifyCms(ctx, req)
	if err != nil {
		return nil, err
	}
	return answer, judge(answer)
}

func judge(answer interface {
	GetVerdict() epovpb.Verdict
	GetIntegrity() epovpb.Verdict
	GetReport() *epovpb.Report
}) error {
	if answer.GetVerdict() == epovpb.Verdict_VERDICT_VALID {
		return nil
	}
	return &InvalidError{answer.GetVerdict(), answer.GetIntegrity(), answer.GetReport()}
}
