package main

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/epov-signer/epov/hsm"
)

type keyListCmd struct {
	tokenFlags
	JSON bool `name:"json" help:"Write JSON."`
}

func (c *keyListCmd) Run(ctx context.Context, con *console) error {
	return c.use(ctx, con, func(token *hsm.Token) error {
		keys, err := token.Keys(ctx)
		if err != nil {
			return err
		}
		if c.JSON {
			list := make([]jsonKey, len(keys))
			for i, k := range keys {
				list[i] = keyJSON(k)
			}
			enc := json.NewEncoder(con.out)
			enc.SetIndent("", "  ")
			enc.SetEscapeHTML(false)
			return enc.Encode(list)
		}
		t := newTable(con.out, "NAME", "TYPE", "PARAMETERS", "CERTIFICATE", "VALID UNTIL", "REMAINS", "REMARKS")
		for _, k := range keys {
			t.row(keyRow(k)...)
		}
		return t.flush()
	})
}

// nameOf is the name of a key; keys that are not named in our way go by their id.
func nameOf(k hsm.KeyInfo) string {
	if n, ok := parseKeyID(k.ID); ok {
		return n.String()
	}
	return "id " + k.ID
}

func keyRow(k hsm.KeyInfo) []string {
	row := []string{nameOf(k), k.Type, "", "", "", "", ""}
	if k.Public != nil {
		row[2] = k.Public.Params.Name
	}
	switch {
	case k.Certificate != nil:
		row[3] = k.Certificate.Subject.String()
		row[4] = k.Certificate.NotAfter.UTC().Format(time.RFC3339)
		row[5] = daysLeft(k.Certificate)
	case k.HasCert:
		row[3] = "unreadable"
	}
	var remarks []string
	if k.Problem != "" {
		remarks = append(remarks, k.Problem)
	}
	row[6] = strings.Join(append(remarks, k.Attributes.Weaknesses()...), "; ")
	return row
}

// The listing for machines. Field names are a contract: fields may be added, none is renamed.
type (
	jsonKey struct {
		Name        string              `json:"name,omitempty"` // absent for keys that are named in another way
		ID          string              `json:"id"`             // CKA_ID
		Label       string              `json:"label"`          // CKA_LABEL
		Type        string              `json:"type"`
		Algorithm   string              `json:"algorithm,omitempty"`
		Parameters  string              `json:"parameters,omitempty"`
		PublicKey   []byte              `json:"public_key,omitempty"` // base64 of the SubjectPublicKeyInfo
		Certificate *jsonKeyCertificate `json:"certificate,omitempty"`
		Attributes  jsonKeyAttributes   `json:"attributes"`
		Weaknesses  []string            `json:"weaknesses"`
		Problem     string              `json:"problem,omitempty"`
	}
	jsonKeyCertificate struct {
		Subject     string    `json:"subject"`
		Issuer      string    `json:"issuer"`
		Serial      string    `json:"serial"`
		NotBefore   time.Time `json:"not_before"`
		NotAfter    time.Time `json:"not_after"`
		DaysLeft    int       `json:"days_left"` // negative when it is over
		Certificate []byte    `json:"certificate"`
	}
	jsonKeyAttributes struct {
		Sign               bool   `json:"sign"`
		Private            bool   `json:"private"`
		Sensitive          bool   `json:"sensitive"`
		AlwaysSensitive    bool   `json:"always_sensitive"`
		Extractable        bool   `json:"extractable"`
		NeverExtractable   bool   `json:"never_extractable"`
		Local              bool   `json:"local"`
		AlwaysAuthenticate bool   `json:"always_authenticate"`
		Attended           string `json:"attended,omitempty"`
	}
)

func keyJSON(k hsm.KeyInfo) jsonKey {
	a := k.Attributes
	out := jsonKey{
		ID: k.ID, Label: a.Label, Type: k.Type, Problem: k.Problem, Weaknesses: append([]string{}, a.Weaknesses()...),
		Attributes: jsonKeyAttributes{a.Sign, a.Private, a.Sensitive, a.AlwaysSensitive, a.Extractable, a.NeverExtractable, a.Local,
			a.AlwaysAuthenticate, a.Attended},
	}
	if n, ok := parseKeyID(k.ID); ok {
		out.Name = n.String()
	}
	if k.Public != nil {
		out.Algorithm, out.Parameters, out.PublicKey = k.Public.Algorithm.Name, k.Public.Params.Name, k.Public.SubjectPublicKeyInfo()
	}
	if c := k.Certificate; c != nil {
		left := time.Until(c.NotAfter)
		days := int(left / (24 * time.Hour))
		if left < 0 {
			days--
		}
		out.Certificate = &jsonKeyCertificate{c.Subject.String(), c.Issuer.String(), c.Serial.Text(16), c.NotBefore.UTC(), c.NotAfter.UTC(),
			days, c.Raw}
	}
	return out
}
