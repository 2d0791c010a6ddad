package openapi

import (
	"fmt"
	"go/ast"
	"go/token"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var saysEnum = regexp.MustCompile(`^//\s*\+(k8s:)?enum$`)

// TestEnums: the table says of the API types what their comments say.
func TestEnums(t *testing.T) {
	want := map[string]string{}
	for pkg, file := range sources(t) {
		for name, values := range enumsIn(file) {
			want[pkg+"."+name] = strings.Join(values, "|")
		}
	}
	if diff := cmp.Diff(want, enums); diff != "" {
		var table strings.Builder
		for _, name := range slices.Sorted(maps.Keys(want)) {
			fmt.Fprintf(&table, "\t%q: %q,\n", name, want[name])
		}
		t.Errorf("the table (-want +got):\n%s\nit should be:\n%s", diff, table.String())
	}
}

// enumsIn lists the constants of the types that have only these values.
func enumsIn(file *ast.File) map[string][]string {
	all, found := map[string]bool{}, map[string][]string{}
	each := func(kind token.Token, visit func(*ast.GenDecl, ast.Spec)) {
		for _, d := range file.Decls {
			if g, ok := d.(*ast.GenDecl); ok && g.Tok == kind {
				for _, s := range g.Specs {
					visit(g, s)
				}
			}
		}
	}
	each(token.TYPE, func(g *ast.GenDecl, s ast.Spec) {
		spec := s.(*ast.TypeSpec)
		for _, doc := range []*ast.CommentGroup{g.Doc, spec.Doc} {
			if doc != nil && slices.ContainsFunc(doc.List, func(c *ast.Comment) bool { return saysEnum.MatchString(c.Text) }) {
				all[spec.Name.Name] = true
			}
		}
	})
	each(token.CONST, func(_ *ast.GenDecl, s ast.Spec) {
		spec := s.(*ast.ValueSpec)
		for _, value := range spec.Values {
			of, text, known := constant(spec.Type, value)
			if !known {
				delete(all, of) // half a list would be wrong
				delete(found, of)
			}
			if all[of] {
				found[of] = append(found[of], text)
			}
		}
	})
	for name := range found {
		slices.Sort(found[name])
	}
	return found
}

// constant reads `Name Type = "value"` and `Name = Type("value")`.
func constant(of, value ast.Expr) (name, text string, known bool) {
	if call, ok := value.(*ast.CallExpr); ok && len(call.Args) == 1 {
		of, value = call.Fun, call.Args[0]
	}
	id, _ := of.(*ast.Ident)
	literal, ok := value.(*ast.BasicLit)
	switch {
	case id == nil:
		return "", "", true
	case !ok:
		return id.Name, "", false
	}
	text, err := strconv.Unquote(literal.Value)
	return id.Name, text, err == nil
}
