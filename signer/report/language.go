package report

import "fmt"

// Language is that of sentences for people.
type Language uint8

const (
	English Language = iota
	Russian
)

// Languages are the tags of RFC 5646 by which a language is chosen.
var Languages = []string{English: "en", Russian: "ru"}

func (l Language) String() string { return Languages[l] }

// ParseLanguage reads a tag; the empty one means English.
func ParseLanguage(tag string) (Language, error) {
	if tag == "" {
		return English, nil
	}
	for i, known := range Languages {
		if tag == known {
			return Language(i), nil
		}
	}
	return 0, fmt.Errorf("%q is no language known here: en and ru are", tag)
}
