package managedfields

import (
	"math/rand/v2"
	"reflect"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// filler fills objects at random, from few values, so that two of them have much in common.
type filler struct{ *rand.Rand }

var words = []string{"a", "b", "", "x/y.z", `q"<&`, "ü"}

func (f filler) fill(v reflect.Value, depth int) {
	if f.IntN(100) < 35+5*depth && v.Kind() != reflect.Struct {
		if f.IntN(3) == 0 {
			v.SetZero()
		}
		return
	}
	switch x := v.Addr().Interface().(type) {
	case *metav1.Time:
		*x = metav1.Unix(int64(f.IntN(3)), int64(f.IntN(2)))
		return
	case *metav1.MicroTime:
		*x = metav1.NewMicroTime(time.Unix(int64(f.IntN(3)), 0))
		return
	case *resource.Quantity:
		*x = *resource.NewQuantity(int64(f.IntN(3)), resource.DecimalSI)
		return
	case *intstr.IntOrString:
		*x = []intstr.IntOrString{intstr.FromInt32(1), intstr.FromString("a"), {}}[f.IntN(3)]
		return
	case *runtime.RawExtension:
		*x = runtime.RawExtension{Raw: []byte([]string{`{"a":1}`, `{"a":2}`}[f.IntN(2)])}
		return
	case *[]metav1.ManagedFieldsEntry:
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		f.fill(v.Elem(), depth+1)
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				f.fill(v.Field(i), depth+1)
			}
		}
	case reflect.Slice:
		n := f.IntN(4)
		if v.Len() != n {
			v.Set(reflect.MakeSlice(v.Type(), n, n))
		}
		for i := range n {
			f.fill(v.Index(i), depth+1)
			if f.IntN(200) > 0 {
				tellApart(v.Index(i), words[i%len(words)])
			}
		}
	case reflect.Map:
		m := reflect.MakeMap(v.Type())
		for range f.IntN(3) {
			key, elem := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			key.SetString(words[f.IntN(len(words))])
			f.fill(elem, depth+1)
			m.SetMapIndex(key, elem)
		}
		v.Set(m)
	case reflect.String:
		v.SetString(words[f.IntN(len(words))])
	case reflect.Bool:
		v.SetBool(f.IntN(2) == 0)
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(int64(f.IntN(3)) * 443 % 100)
	}
}

// tellApart gives an item of a list a key that the others do not have.
func tellApart(v reflect.Value, key string) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(key)
	case reflect.Struct:
		for _, name := range []string{"Name", "UID", "IP", "Type", "MountPath", "DevicePath", "HostIP", "TopologyKey", "Protocol", "ResourceID", "ResourceClaimName"} {
			if f := v.FieldByName(name); f.IsValid() && f.Kind() == reflect.String {
				f.SetString(key)
			}
		}
	}
}
