package api

import (
	"context"

	"github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/signer"
	"github.com/epov-signer/epov/signer/explain"
)

func (s *verifyService) Explain(ctx context.Context, req *epovpb.ExplainRequest) (*epovpb.ExplainResponse, error) {
	at, err := moment(req.ValidationTime, "validation_time")
	if err != nil {
		return nil, s.fail(ctx, err, "")
	}
	field := "message"
	if req.GetDocument() != nil {
		field = "document"
	}
	e, err := s.signing.Explain(ctx, callerOf(ctx), signer.ExplainRequest{
		Document: req.GetDocument(), Message: req.GetMessage(), Detached: req.Content != nil, Content: req.Content,
		Pristine: req.Pristine, Certificates: req.Certificates, Profile: req.Profile, Target: req.Target, Time: at,
	})
	if err != nil {
		return nil, s.fail(ctx, err, field)
	}
	out := &epovpb.ExplainResponse{
		Verdict: verdict(e.Report.Verdict()), Integrity: verdict(e.Report.Integrity()), Report: encodeReport(e.Report),
	}
	for i := range e.Findings {
		out.Findings = append(out.Findings, encodeFinding(&e.Findings[i]))
	}
	for _, a := range e.Advice() {
		out.Advice = append(out.Advice, &epovpb.Advice{Code: string(a.Code), AdviceEn: a.English, AdviceRu: a.Russian})
	}
	return out, nil
}

func encodeFinding(f *explain.Finding) *epovpb.Finding {
	out := &epovpb.Finding{
		Signature: int32(f.Signature), Subject: text(f.Subject), Place: encodePlace(f.Place), Code: string(f.Code), SmevFault: f.Fault(),
	}
	for _, m := range f.Mistakes {
		info := m.Info()
		out.Mistakes = append(out.Mistakes, &epovpb.Mistake{
			Name: string(m), SentenceEn: info.What.English, SentenceRu: info.What.Russian,
			AdviceEn: info.Advice.English, AdviceRu: info.Advice.Russian,
		})
	}
	if f.Reference >= 0 {
		reference := int32(f.Reference)
		out.Reference = &reference
	}
	for _, what := range f.What {
		out.Notes = append(out.Notes, text(what))
	}
	if f.Other != nil {
		out.Other = encodePlace(*f.Other)
	}
	if d := f.Difference; d != nil {
		out.Difference = &epovpb.Difference{Offset: int64(d.Offset), Stated: text(d.Stated), Matching: text(d.Matching)}
	}
	for _, e := range f.Edits {
		out.Edits = append(out.Edits, &epovpb.Edit{
			Kind: string(e.Kind), Place: encodePlace(e.Place), Name: text(e.Name), Was: text(e.Was), Is: text(e.Is),
		})
	}
	return out
}
