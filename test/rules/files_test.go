package rules

import (
	"go/ast"
	"go/token"
	"regexp"
	"strings"
	"testing"
)

// longFiles may have more than 500 lines, each for its reason.
var longFiles = map[string]string{}

const longest = 500

func TestFilesAreShort(t *testing.T) {
	for _, f := range parsed(t) {
		if _, excused := longFiles[f.path]; !f.test && !excused && f.lines > longest {
			t.Errorf("%s has %d lines: which noun is missing?", f.path, f.lines)
		} else if excused && f.lines <= longest {
			t.Errorf("%s has only %d lines and needs no excuse", f.path, f.lines)
		}
	}
}

var later = regexp.MustCompile(`\b(TODO|FIXME|XXX)\b`)

func TestNothingIsLeftForLater(t *testing.T) {
	for _, f := range parsed(t) {
		if strings.HasPrefix(f.path, "test/rules/") {
			continue // which has to name them
		}
		for _, group := range f.Comments {
			if word := later.FindString(group.Text()); word != "" && !f.test {
				t.Errorf("%s: %s: do it, or write down in the README that it is missing", f.path, word)
			}
		}
	}
}

func TestPackagesAreDocumented(t *testing.T) {
	docs := map[string]int{}
	for _, p := range loaded(t).ours() {
		docs[p.name()] = 0
	}
	for _, f := range parsed(t) {
		onlyTests := len(f.pkg.GoFiles)+len(f.pkg.CgoFiles) == 0
		if f.Doc != nil && (!f.test || onlyTests) {
			docs[f.pkg.name()]++
		}
	}
	for name, n := range docs {
		if n != 1 {
			t.Errorf("package %s has %d doc comments: one says what it owns, and what it leaves to others", name, n)
		}
	}
}

func TestExportedNamesAreDocumented(t *testing.T) {
	for _, f := range parsed(t) {
		if f.test || f.Name.Name == "main" {
			continue
		}
		for _, name := range undocumented(f.File) {
			t.Errorf("%s: %s has no comment that says what it is for", f.path, name)
		}
	}
}

// undocumented names what of a file can be seen outside and has no comment. A method that
// an interface of the standard library prescribes, as String and Error, needs none.
func undocumented(f *ast.File) []string {
	var out []string
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Doc == nil && d.Name.IsExported() && !prescribed[d.Name.Name] && (d.Recv == nil || ast.IsExported(receiver(d))) {
				out = append(out, strings.TrimPrefix(receiver(d)+"."+d.Name.Name, "."))
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				out = append(out, undocumentedIn(d, s)...)
			}
		}
	}
	return out
}

var prescribed = map[string]bool{
	"String": true, "Error": true, "Unwrap": true, "Is": true, "Len": true, "Less": true, "Swap": true, "Close": true, "Read": true, "Write": true,
}

func undocumentedIn(d *ast.GenDecl, s ast.Spec) (out []string) {
	switch s := s.(type) {
	case *ast.TypeSpec:
		if d.Doc == nil && s.Doc == nil && s.Comment == nil && s.Name.IsExported() {
			out = append(out, s.Name.Name)
		}
	case *ast.ValueSpec:
		for _, n := range s.Names {
			if d.Doc == nil && s.Doc == nil && s.Comment == nil && n.IsExported() && d.Tok != token.IMPORT {
				out = append(out, n.Name)
			}
		}
	}
	return out
}

// receiver is the type that a method is of, or nothing.
func receiver(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return ""
	}
	t := d.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			return x.Name
		default:
			return ""
		}
	}
}
