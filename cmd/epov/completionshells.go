package main

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

// The scripts know the whole command line as it was when they were written: they start no program while somebody types. All
// walk over the words before the cursor, note the commands among them as $at, and then look up what may follow.

func bashCompletion(list []place) string {
	var b strings.Builder
	b.WriteString("# bash completion of epov, written by `epov completion bash`\n_epov() {\n" +
		"\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} at= i words=\n" +
		"\tfor ((i = 1; i < COMP_CWORD; i++)); do\n\t\tcase \"$at/${COMP_WORDS[i]}\" in\n" +
		"\t\t" + paths(list) + ") at=$at/${COMP_WORDS[i]} ;;\n\t\tesac\n\tdone\n" +
		"\t# --flag=value comes as three words\n" +
		"\tif [[ $prev == = ]]; then prev=${COMP_WORDS[COMP_CWORD-2]}; elif [[ $cur == = ]]; then cur=; fi\n\tCOMPREPLY=()\n" +
		"\tcase \"$at $prev\" in\n")
	values(list, func(patterns string, f *kong.Flag) {
		switch words := choices(f.Value); {
		case words != nil:
			fmt.Fprintf(&b, "\t%s) mapfile -t COMPREPLY < <(compgen -W %q -- \"$cur\"); return ;;\n", patterns, strings.Join(words, " "))
		case takesFile(f.Value):
			fmt.Fprintf(&b, "\t%s) _epov_files; return ;;\n", patterns)
		default:
			fmt.Fprintf(&b, "\t%s) COMPREPLY=(); return ;;\n", patterns)
		}
	})
	b.WriteString("\tesac\n\tcase \"$at\" in\n")
	for _, p := range list {
		words := p.words
		for _, c := range p.commands {
			words = append(words, c.Name)
		}
		for _, f := range p.flags {
			words = append(words, spellings(f)...)
		}
		fmt.Fprintf(&b, "\t%q) ", p.at)
		if p.files {
			b.WriteString("[[ $cur == -?* ]] || _epov_files; ")
		}
		fmt.Fprintf(&b, "words=%q ;;\n", strings.Join(words, " "))
	}
	b.WriteString("\tesac\n\tmapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n}\n" +
		"_epov_files() {\n\tcompopt -o filenames 2>/dev/null # marks folders; fails outside of a completion\n" +
		"\tmapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n}\ncomplete -F _epov epov\n")
	return b.String()
}

// values calls f for each flag that takes a value, with the patterns `"/path --flag"|"/path -f"` that it is met under.
func values(list []place, f func(patterns string, flag *kong.Flag)) {
	for _, p := range list {
		for _, flag := range p.flags {
			if flag.IsBool() || flag.IsCounter() {
				continue
			}
			var patterns []string
			for _, s := range spellings(flag) {
				patterns = append(patterns, fmt.Sprintf("%q", p.at+" "+s))
			}
			f(strings.Join(patterns, "|"), flag)
		}
	}
}

func zshCompletion(list []place) string {
	var b strings.Builder
	b.WriteString("#compdef epov\n# zsh completion of epov, written by `epov completion zsh`\n_epov() {\n" +
		"\tlocal at= w prev=${words[CURRENT-1]}\n\tlocal -a commands flags\n" +
		"\tfor w in ${words[2,CURRENT-1]}; do\n\t\tcase \"$at/$w\" in\n" +
		"\t\t" + paths(list) + ") at=$at/$w ;;\n\t\tesac\n\tdone\n" +
		"\tif [[ ${words[CURRENT]} == --*=* ]]; then prev=${words[CURRENT]%%=*}; compset -P '*='; fi\n" +
		"\tcase \"$at $prev\" in\n")
	values(list, func(patterns string, f *kong.Flag) {
		switch words := choices(f.Value); {
		case words != nil:
			fmt.Fprintf(&b, "\t%s) compadd -- %s; return ;;\n", patterns, strings.Join(words, " "))
		case takesFile(f.Value):
			fmt.Fprintf(&b, "\t%s) _files; return ;;\n", patterns)
		default:
			fmt.Fprintf(&b, "\t%s) return ;;\n", patterns)
		}
	})
	b.WriteString("\tesac\n\tcase \"$at\" in\n")
	described := func(word, help string) string {
		return " '" + strings.NewReplacer(":", `\:`, "'", `'\''`).Replace(word) + ":" +
			strings.NewReplacer("'", `'\''`).Replace(brief(help)) + "'"
	}
	for _, p := range list {
		fmt.Fprintf(&b, "\t%q)", p.at)
		if p.files {
			b.WriteString(" [[ ${words[CURRENT]} == -?* ]] || _files;")
		}
		b.WriteString("\n\t\tcommands=(")
		for _, w := range p.words {
			b.WriteString(described(w, w))
		}
		for _, c := range p.commands {
			b.WriteString(described(c.Name, c.Help))
		}
		b.WriteString(")\n\t\tflags=(")
		for _, f := range p.flags {
			for _, s := range spellings(f) {
				b.WriteString(described(s, f.Help))
			}
		}
		b.WriteString(") ;;\n")
	}
	b.WriteString("\tesac\n\t(( $#commands )) && _describe command commands\n\t[[ ${words[CURRENT]} == -* ]] && _describe -o option flags\n}\n" +
		"if [[ $funcstack[1] == _epov ]]; then _epov \"$@\"; else compdef _epov epov; fi\n")
	return b.String()
}

func fishCompletion(list []place) string {
	var b strings.Builder
	b.WriteString("# fish completion of epov, written by `epov completion fish`\nfunction __epov_is\n\tset -l at ''\n" +
		"\tfor w in (commandline -opc)[2..-1]\n\t\tswitch \"$at/$w\"\n" +
		"\t\t\tcase '" + strings.ReplaceAll(paths(list), "|", "' '") + "'\n\t\t\t\tset at \"$at/$w\"\n\t\tend\n\tend\n" +
		"\ttest \"$at\" = \"$argv[1]\"\nend\ncomplete -c epov -f\n")
	quote := func(s string) string { return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(s) + "'" }
	for _, p := range list {
		start := fmt.Sprintf("complete -c epov -n %s", quote(fmt.Sprintf(`__epov_is "%s"`, p.at)))
		for _, c := range p.commands {
			fmt.Fprintf(&b, "%s -a %s -d %s\n", start, c.Name, quote(brief(c.Help)))
		}
		if p.words != nil {
			fmt.Fprintf(&b, "%s -a %s\n", start, quote(strings.Join(p.words, " ")))
		}
		if p.files {
			fmt.Fprintf(&b, "%s -F\n", start)
		}
		for _, f := range p.flags {
			fmt.Fprintf(&b, "%s -l %s", start, f.Name)
			if f.Short != 0 {
				fmt.Fprintf(&b, " -s %c", f.Short)
			}
			switch words := choices(f.Value); {
			case f.IsBool() || f.IsCounter():
			case words != nil:
				fmt.Fprintf(&b, " -x -a %s", quote(strings.Join(words, " ")))
			case takesFile(f.Value):
				b.WriteString(" -r -F")
			default:
				b.WriteString(" -x")
			}
			fmt.Fprintf(&b, " -d %s\n", quote(brief(f.Help)))
		}
	}
	return b.String()
}
