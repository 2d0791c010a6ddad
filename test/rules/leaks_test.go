package rules

import (
	"go/ast"
	"slices"
	"testing"
)

// What starts goroutines or processes is tested with a look at what is left afterwards.
func TestLeaksAreLookedFor(t *testing.T) {
	starts, looks := map[*pkg]string{}, map[*pkg]bool{}
	for _, f := range parsed(t) {
		if !f.test {
			if slices.Contains(imported(f.File), "os/exec") {
				starts[f.pkg] = "processes"
			} else if startsGoroutines(f.File) && starts[f.pkg] == "" {
				starts[f.pkg] = "goroutines"
			}
			continue
		}
		ast.Inspect(f.File, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && isName(s.X, "leaktest") && (s.Sel.Name == "Main" || s.Sel.Name == "MainPrivate") {
				looks[f.pkg] = true
			}
			return true
		})
	}
	for p, what := range starts {
		tested := len(p.TestGoFiles)+len(p.XTestGoFiles) > 0
		if tested && !looks[p] && p.Name != "leaktest" {
			t.Errorf("%s starts %s: let its TestMain call leaktest.Main", p.name(), what)
		}
	}
}

func imported(f *ast.File) []string {
	var out []string
	for _, i := range f.Imports {
		out = append(out, i.Path.Value[1:len(i.Path.Value)-1])
	}
	return out
}

// startsGoroutines: by a go statement, or the Go method of a sync.WaitGroup or errgroup.Group.
func startsGoroutines(f *ast.File) (yes bool) {
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			yes = true
		case *ast.CallExpr:
			if s, ok := n.Fun.(*ast.SelectorExpr); ok && s.Sel.Name == "Go" {
				yes = true
			}
		}
		return !yes
	})
	return yes
}

func isName(e ast.Expr, name string) bool {
	i, ok := e.(*ast.Ident)
	return ok && i.Name == name
}
