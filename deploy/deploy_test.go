// Package deploy holds no code: its tests hold what is shipped for operators to what it says.
package deploy

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/epov-signer/epov/internal/oracle"
)

// exposure is what `systemd-analyze security` of systemd 252 says of the unit, in tenths, and docs/handbook.md repeats. It must not
// become worse.
const exposure = 11

func TestUnitExposure(t *testing.T) {
	tool, err := exec.LookPath("systemd-analyze")
	if err != nil {
		oracle.Missing(t, "systemd-analyze (Debian package systemd)")
	}
	out, err := exec.Command(tool, "security", "--offline=true", "--threshold="+strconv.Itoa(exposure),
		"systemd/epovd.service").CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	score := regexp.MustCompile(`exposure level for epovd.service: ([0-9.]+)`).FindSubmatch(out)
	if score == nil || string(score[1]) != "1.1" {
		t.Errorf("the exposure is %s; say so in docs/handbook.md, and here", score)
	}
}

// What the units say is what systemd understands.
func TestUnitsVerify(t *testing.T) {
	tool, err := exec.LookPath("systemd-analyze")
	if err != nil {
		oracle.Missing(t, "systemd-analyze (Debian package systemd)")
	}
	root := t.TempDir()
	units := filepath.Join(root, "etc/systemd/system")
	for _, dir := range []string{units, filepath.Join(root, "usr/bin"), filepath.Join(root, "bin")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, program := range []string{"usr/bin/epovd", "bin/sh"} {
		if err := os.WriteFile(filepath.Join(root, program), []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, target := range []string{"sysinit", "basic", "multi-user", "sockets", "network-online", "shutdown"} {
		if err := os.WriteFile(filepath.Join(units, target+".target"), []byte("[Unit]\nDescription=x\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob("systemd/epovd*")
	if err != nil || len(files) < 4 {
		t.Fatal(files, err)
	}
	args := []string{"verify", "--man=no", "--root=" + root}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(units, filepath.Base(file)), data, 0o644); err != nil {
			t.Fatal(err)
		}
		args = append(args, filepath.Base(file))
	}
	out, err := exec.Command(tool, args...).CombinedOutput()
	// What else a system has is not there.
	rest := regexp.MustCompile(`(?m)^.*(Unit \S+ not found|Failed to (load|add)).*\n`).ReplaceAll(out, nil)
	if err != nil && len(bytes.TrimSpace(rest)) > 0 || bytes.Contains(rest, []byte("epovd")) {
		t.Errorf("%v\n%s", err, rest)
	}
}

// Each socket unit passes its socket under a name that the daemon knows, at the address of the packaged configuration.
func TestSocketsFitConfiguration(t *testing.T) {
	config, err := os.ReadFile("epovd.yaml")
	if err != nil {
		t.Fatal(err)
	}
	port := regexp.MustCompile(`(?m)^listen: \S+:(\d+)$`).FindSubmatch(config)
	socket, err := os.ReadFile("systemd/epovd.socket")
	if err != nil {
		t.Fatal(err)
	}
	if port == nil || !strings.Contains(string(socket), "\nListenStream="+string(port[1])+"\nFileDescriptorName=api\n") {
		t.Errorf("the socket is not that of listen in epovd.yaml: %s", port)
	}
}

// The image has one stage, made of the package alone, which is the only file that the build sees; image-test.sh builds it.
func TestDockerfile(t *testing.T) {
	data, err := os.ReadFile("Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	var instructions []string
	for line := range strings.SplitSeq(strings.ReplaceAll(string(data), "\\\n", " "), "\n") {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(line, "#") {
			continue
		}
		instructions = append(instructions, fields[0])
		switch fields[0] {
		case "COPY":
			if len(fields) != 3 || fields[1] != "${PACKAGE}" {
				t.Errorf("%s: more than the package comes in", line)
			}
		case "ENTRYPOINT", "CMD":
			var words []string
			if err := json.Unmarshal([]byte(strings.TrimPrefix(line, fields[0])), &words); err != nil {
				t.Errorf("%s: %v", line, err)
			}
		case "RUN":
			if strings.Contains(line, "apt-get") && !strings.Contains(line, `if [ -n "$PCSCLITE" ]`) {
				t.Errorf("%s: fetches without being asked to", line)
			}
		}
	}
	want := "ARG FROM ARG COPY RUN ARG RUN USER VOLUME EXPOSE STOPSIGNAL HEALTHCHECK ENTRYPOINT CMD"
	if got := strings.Join(instructions, " "); got != want || !strings.Contains(string(data), "\nUSER 10001:10001\n") {
		t.Errorf("%s", got)
	}
	seen, err := os.ReadFile("Dockerfile.dockerignore")
	if err != nil || string(seen) != "*\n!.build/dist/*.deb\n" {
		t.Errorf("the build sees %q, %v", seen, err)
	}
}
