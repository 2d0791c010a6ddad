package openapi

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
)

var saysOptional = regexp.MustCompile(`(?m)^\s*\+(k8s:)?optional`)

// TestOptional: the table says of the API types what their comments say.
func TestOptional(t *testing.T) {
	want := map[string]string{}
	for pkg, file := range sources(t) {
		for name, fields := range optionalIn(file) {
			want[pkg+"."+name] = strings.Join(fields, " ")
		}
	}
	if diff := cmp.Diff(want, optional); diff != "" {
		t.Errorf("the table (-want +got):\n%s", diff)
	}
}

// sources are the parsed files of the API's types, by package as "core/v1".
func sources(t *testing.T) map[string]*ast.File {
	t.Helper()
	// They are where a method of one of the types was compiled from.
	f := runtime.FuncForPC(reflect.ValueOf((&corev1.Pod{}).SwaggerDoc).Pointer())
	file, _ := f.FileLine(f.Entry())
	method, _ := reflect.TypeFor[corev1.Pod]().MethodByName("SwaggerDoc")
	if f := runtime.FuncForPC(method.Func.Pointer()); f != nil && !strings.Contains(file, "k8s.io") {
		file, _ = f.FileLine(f.Entry())
	}
	root := filepath.Dir(filepath.Dir(filepath.Dir(file)))
	if _, err := os.Stat(filepath.Join(root, "core", "v1", "types.go")); err != nil {
		t.Skipf("the sources of the API types are not on this machine (%v)", err)
	}
	files, err := filepath.Glob(filepath.Join(root, "*", "v[12]", "types.go"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	parsed := map[string]*ast.File{}
	for _, file := range files {
		pkg, _ := filepath.Rel(root, filepath.Dir(file))
		if strings.HasPrefix(pkg, "admission/") || strings.HasPrefix(pkg, "apidiscovery/") {
			continue // not served
		}
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		parsed[filepath.ToSlash(pkg)] = tree
	}
	return parsed
}

// optionalIn lists the optional fields without omitempty of each struct.
func optionalIn(file *ast.File) map[string][]string {
	found := map[string][]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		s, ok := spec.Type.(*ast.StructType)
		if !ok {
			return false
		}
		for _, f := range s.Fields.List {
			if f.Tag == nil || len(f.Names) == 0 || !saysOptional.MatchString(f.Doc.Text()) && !slices.ContainsFunc(comments(f), saysOptional.MatchString) {
				continue
			}
			tag, options, _ := strings.Cut(reflect.StructTag(strings.Trim(f.Tag.Value, "`")).Get("json"), ",")
			if tag != "" && tag != "-" && options == "" {
				found[spec.Name.Name] = append(found[spec.Name.Name], tag)
			}
		}
		return false
	})
	return found
}

// comments are the lines above a field; Text leaves out those that look like directives.
func comments(f *ast.Field) []string {
	var lines []string
	if f.Doc != nil {
		for _, c := range f.Doc.List {
			lines = append(lines, strings.TrimPrefix(c.Text, "//"))
		}
	}
	return lines
}
