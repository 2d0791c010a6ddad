package model

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/miniorch/miniorch/pkg/api"
)

// client is somebody who does one random thing after the other.
type client struct {
	w     *world
	r     *rand.Rand
	media string
	set   *kubernetes.Clientset
	seen  map[place]*state // what it saw last, perhaps long ago
	vain  int              // how often it got no answer
}

func (w *world) client(n int) *client {
	c := &client{w: w, r: rand.New(rand.NewPCG(w.seed, uint64(n))), seen: map[place]*state{}, media: runtime.ContentTypeJSON}
	if n%2 == 1 {
		c.media = runtime.ContentTypeProtobuf
	}
	c.set = w.clients(c.media)
	return c
}

func (c *client) rest(k kind) rest.Interface {
	if k == configMaps {
		return c.set.CoreV1().RESTClient()
	}
	return c.set.AppsV1().RESTClient()
}

func (c *client) revision() int64 {
	for {
		rev, err := c.w.store.Revision(c.w.ctx)
		if err == nil {
			return rev
		}
		if c.w.ctx.Err() != nil {
			return 0
		}
	}
}

// newOp makes up a request.
func (c *client) newOp() *op {
	c.w.mu.Lock()
	c.w.number++
	o := &op{Number: c.w.number}
	c.w.mu.Unlock()
	r := c.r
	o.Place = place{kinds[r.IntN(2)], namespaces[r.IntN(2)], fmt.Sprint("n", r.IntN(4))}
	verbs := []verb{create, create, put, put, mergePatch, strategicPatch, jsonPatch, apply, apply, apply, remove, removeCollection}
	if o.Place.kind == deployments {
		verbs = append(verbs, putStatus, patchStatus, applyStatus, applyStatus, putScale, patchScale)
	}
	o.Verb = verbs[r.IntN(len(verbs))]
	if o.Verb == removeCollection && r.IntN(4) > 0 {
		o.Verb = remove
	}
	o.Manager = []string{"ann", "bob", "cat"}[r.IntN(3)]
	o.Force, o.DryRun = r.IntN(2) == 0, r.IntN(8) == 0
	c.fillIn(o)
	seen := c.seen[o.Place]
	if seen != nil && r.IntN(2) == 0 && o.Verb != create && o.Verb != jsonPatch && o.Verb != removeCollection {
		o.Version = seen.Revision
	}
	switch {
	case o.Verb == remove && r.IntN(3) == 0 && seen != nil:
		o.UID = seen.UID
	case o.Verb == jsonPatch && seen != nil && r.IntN(2) == 0:
		o.Test = seen.Fields[o.mark()]
	case o.Verb == create && r.IntN(5) == 0:
		o.Place.name = "g-"
	}
	return o
}

// fillIn makes up what is written.
func (c *client) fillIn(o *op) {
	r := c.r
	if slices.Contains([]verb{putStatus, patchStatus, applyStatus, putScale, patchScale, remove}, o.Verb) {
		return
	}
	if o.Verb == removeCollection {
		o.Place.name, o.Color = "", []string{"red", "blue"}[r.IntN(2)]
		return
	}
	o.Fields = map[string]string{o.mark(): o.value()}
	for _, name := range []string{"a", "b", "c"} {
		switch r.IntN(4) {
		case 0, 1:
			o.Fields[name] = fmt.Sprint(r.IntN(2))
		case 2:
			if o.Verb == mergePatch || o.Verb == strategicPatch {
				o.Unset = append(o.Unset, name)
			}
		}
	}
	if o.Verb == create || o.Verb == put {
		o.Color = []string{"", "red", "blue"}[r.IntN(3)]
	}
	o.SetFinalizers = o.Verb == mergePatch && r.IntN(2) == 0
	if (o.SetFinalizers || o.Verb == create || o.Verb == put) && r.IntN(3) == 0 {
		o.Finalizers = []string{"example.com/hold"}
	}
}

// act does one thing that writes and notes what came of it.
func (c *client) act(ctx context.Context) {
	o := c.newOp()
	o.Begun = c.revision()
	result := c.request(o).Do(ctx)
	obj, err := result.Get()
	o.Ended = c.revision()
	var status *apierrors.StatusError
	switch {
	case err == nil:
		c.note(o, obj)
	case errors.As(err, &status) && status.ErrStatus.Code < 500 && status.ErrStatus.Code != 429:
		o.Reason, o.Detail = status.ErrStatus.Reason, status.ErrStatus.Message
	default:
		o.Lost, o.Busy, o.Detail = true, busy(err), err.Error()
		c.vain++
		time.Sleep(20 * time.Millisecond)
	}
	c.w.mu.Lock()
	c.w.ops = append(c.w.ops, o)
	c.w.mu.Unlock()
}

// busy: on a machine that has too much to do a server may ask its clients to come again later.
func busy(err error) bool {
	return apierrors.IsTooManyRequests(err) || apierrors.IsTimeout(err) || apierrors.IsServerTimeout(err) || apierrors.IsServiceUnavailable(err)
}

// note remembers an answer.
func (c *client) note(o *op, answer runtime.Object) {
	switch a := answer.(type) {
	case *corev1.ConfigMap, *appsv1.Deployment:
		obj := a.(api.Object)
		o.Got, o.Raw = stateOf(obj), rawOf(obj)
		o.Place.name = obj.GetName()
		if !o.DryRun {
			c.seen[o.Place] = o.Got
		}
	case *metav1.Status:
		if a.Status != metav1.StatusSuccess {
			c.w.Errorf("%v was answered with %+v", o, a)
		}
	case *corev1.ConfigMapList, *appsv1.DeploymentList:
		for _, item := range itemsOf(a) {
			o.Deleted = append(o.Deleted, item.GetName())
		}
	case *autoscalingv1.Scale:
		if a.Spec.Replicas != int32(o.Number) {
			c.w.Errorf("%v was answered with %d replicas", o, a.Spec.Replicas)
		}
	}
}
