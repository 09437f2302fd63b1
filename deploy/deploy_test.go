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
	out, err := exec.Command(tool, "security", "--offline=true", "--threshold="+strconv.Itoa(exposure), "systemd/epovd.service").CombinedOutput()
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
	for _, program := range []string{"usr/bin/epovd", "bin/kill"} {
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

// The image is built from files that exist, in stages that exist.
func TestDockerfile(t *testing.T) {
	data, err := os.ReadFile("Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	stages := map[string]bool{}
	logical := strings.ReplaceAll(string(data), "\\\n", " ")
	var instructions []string
	copies := 0
	for line := range strings.SplitSeq(logical, "\n") {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(line, "#") {
			continue
		}
		instructions = append(instructions, fields[0])
		switch fields[0] {
		case "FROM":
			if len(fields) == 4 && fields[2] == "AS" {
				stages[fields[3]] = true
			}
		case "COPY":
			copies++
			from, args := "", fields[1:]
			for strings.HasPrefix(args[0], "--") {
				if f, ok := strings.CutPrefix(args[0], "--from="); ok {
					from = f
				}
				args = args[1:]
			}
			if from != "" && !stages[from] {
				t.Errorf("%s: there is no stage %s before it", line, from)
			}
			for _, source := range args[:len(args)-1] {
				if from == "" {
					if _, err := os.Stat(filepath.Join("..", source)); err != nil {
						t.Errorf("%s: %v", line, err)
					}
				}
			}
		case "ENTRYPOINT", "CMD":
			var words []string
			if err := json.Unmarshal([]byte(strings.TrimPrefix(line, fields[0])), &words); err != nil {
				t.Errorf("%s: %v", line, err)
			}
		case "WORKDIR", "RUN", "USER", "VOLUME", "EXPOSE", "STOPSIGNAL", "ARG", "LABEL", "ENV":
		default:
			t.Errorf("unknown instruction %s", fields[0])
		}
	}
	if copies < 2 || instructions[0] != "ARG" && instructions[0] != "FROM" || !strings.Contains(string(data), "\nUSER 10001:10001\n") {
		t.Errorf("%q", instructions)
	}
}
