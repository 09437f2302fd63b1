package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The parts of a program in CycloneDX 1.5 (ECMA-424), as far as they are told here.
type (
	bom struct {
		Schema       string       `json:"$schema"`
		Format       string       `json:"bomFormat"`
		Version      string       `json:"specVersion"`
		Serial       string       `json:"serialNumber"`
		Edition      int          `json:"version"`
		Metadata     metadata     `json:"metadata"`
		Components   []component  `json:"components"`
		Dependencies []dependency `json:"dependencies"`
	}
	metadata struct {
		Timestamp string    `json:"timestamp"`
		Component component `json:"component"`
	}
	component struct {
		Ref        string     `json:"bom-ref"`
		Type       string     `json:"type"`
		Name       string     `json:"name"`
		Version    string     `json:"version"`
		Hashes     []hash     `json:"hashes,omitempty"`
		Licences   []licence  `json:"licenses,omitempty"`
		PURL       string     `json:"purl,omitempty"`
		Properties []property `json:"properties,omitempty"`
	}
	hash struct {
		Algorithm string `json:"alg"`
		Content   string `json:"content"`
	}
	licence struct {
		Licence struct {
			ID string `json:"id"`
		} `json:"license"`
	}
	property struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
	dependency struct {
		Ref       string   `json:"ref"`
		DependsOn []string `json:"dependsOn,omitempty"`
	}
)

// writeSBOM reads what the linker wrote into a program and puts the list beside it. The same program gives the same list; the time
// in it is SOURCE_DATE_EPOCH's.
func writeSBOM(program string) error {
	data, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return err
	}
	seconds, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
	if err != nil {
		return fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
	}
	parts, err := linkedInto(program)
	if err != nil {
		return err
	}
	b, err := newBOM(info, parts, sha256.Sum256(data), time.Unix(seconds, 0), os.Getenv("VERSION"))
	if err != nil {
		return err
	}
	out, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(program+".cdx.json", append(out, '\n'), 0o644)
}

func newBOM(info *debug.BuildInfo, parts []part, sum [sha256.Size]byte, when time.Time, version string) (*bom, error) {
	if version == "" {
		version = info.Main.Version
	}
	program := component{
		Type: "application", Name: filepath.Base(info.Path), Version: version,
		Hashes: []hash{{"SHA-256", hex.EncodeToString(sum[:])}}, Licences: spdx("Apache-2.0"),
		PURL: "pkg:golang/" + info.Main.Path + "@" + version + "#" + strings.TrimPrefix(info.Path, info.Main.Path+"/"),
	}
	program.Ref = program.PURL
	for _, s := range info.Settings {
		if slices.Contains([]string{"GOOS", "GOARCH", "CGO_ENABLED", "-trimpath"}, s.Key) {
			program.Properties = append(program.Properties, property{"go:" + s.Key, s.Value})
		}
	}
	b := &bom{
		Schema: "http://cyclonedx.org/schema/bom-1.5.schema.json", Format: "CycloneDX", Version: "1.5", Edition: 1,
		Serial: uuid(sum),
		Metadata: metadata{
			Timestamp: when.UTC().Format(time.RFC3339), Component: program,
		},
	}
	standard := strings.TrimPrefix(info.GoVersion, "go")
	b.Components = append(b.Components, component{
		Type: "library", Name: "std", Version: standard, Licences: spdx("BSD-3-Clause"), PURL: "pkg:golang/std@" + standard,
	})
	sums := map[string]string{}
	for _, m := range info.Deps {
		sums[m.Path] = m.Sum
	}
	for _, p := range parts {
		licences, err := licencesIn(p.dir)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", p.path, p.version, err)
		}
		c := component{Type: "library", Name: p.path, Version: p.version, Licences: spdx(licences...),
			PURL: "pkg:golang/" + p.path + "@" + p.version}
		if sums[p.path] != "" {
			c.Properties = []property{{"go:sum", sums[p.path]}}
		}
		b.Components = append(b.Components, c)
	}
	slices.SortFunc(b.Components, func(x, y component) int { return strings.Compare(x.PURL, y.PURL) })
	of := dependency{Ref: program.Ref}
	for i := range b.Components {
		b.Components[i].Ref = b.Components[i].PURL
		of.DependsOn = append(of.DependsOn, b.Components[i].PURL)
	}
	b.Dependencies = []dependency{of}
	return b, nil
}

// uuid is one of version 8 (RFC 9562) that is made of the program, for the same program shall give the same list.
func uuid(sum [sha256.Size]byte) string {
	u := sum[:16]
	u[6], u[8] = u[6]&0x0f|0x80, u[8]&0x3f|0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}

func spdx(ids ...string) (out []licence) {
	for _, id := range ids {
		var l licence
		l.Licence.ID = id
		out = append(out, l)
	}
	return out
}
