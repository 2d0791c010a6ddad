// Package rollout adds to kubectl's verb of that name what steers rollouts by steps: canary and
// blue-green. It only writes annotations; the deployment controller acts on them.
package rollout

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/kubernetes"

	"github.com/miniorch/miniorch/pkg/api"
)

// NewCommands returns the verbs below rollout. Cluster and namespace come from flags.
func NewCommands(flags *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) []*cobra.Command {
	var all bool
	promote := &cobra.Command{
		Use:   "promote deployment/NAME",
		Short: "Let a canary or blue-green rollout go on",
		Long: `Let a rollout by steps go on: a canary to its next step, blue-green to the switch of its Service.

The rollout is that of the revision which is the newest now; a later one waits for a promotion of its own.`,
		Example: `  # Let the canary of web take its next step
  kubectl rollout promote deployment/web

  # Or all that are left
  kubectl rollout promote deployment/web --all`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return with(cmd.Context(), flags, args[0], func(c kubernetes.Interface, d *appsv1.Deployment) error {
				line, err := doPromote(cmd.Context(), c, d, all)
				if err == nil {
					_, err = fmt.Fprintln(streams.Out, line)
				}
				return err
			})
		},
	}
	promote.Flags().BoolVar(&all, "all", false, "all steps that are left")
	abort := &cobra.Command{
		Use:     "abort deployment/NAME",
		Short:   "Give a canary or blue-green rollout up",
		Long:    "Give a rollout by steps up: all pods are of the revision that served before, as soon as enough of those are available.",
		Example: "  # Go back to what served before\n  kubectl rollout abort deployment/web",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return with(cmd.Context(), flags, args[0], func(c kubernetes.Interface, d *appsv1.Deployment) error {
				line, err := doAbort(cmd.Context(), c, d)
				if err == nil {
					_, err = fmt.Fprintln(streams.Out, line)
				}
				return err
			})
		},
	}
	story := &cobra.Command{
		Use:     "story deployment/NAME",
		Short:   "Show the steps that a canary or blue-green rollout took",
		Long:    "Show how far the newest rollout by steps is, and the steps that it took, with their times.",
		Example: "  # What has happened so far?\n  kubectl rollout story deployment/web",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return with(cmd.Context(), flags, args[0], func(c kubernetes.Interface, d *appsv1.Deployment) error {
				text, err := tell(cmd.Context(), c, d)
				if err == nil {
					_, err = fmt.Fprint(streams.Out, text)
				}
				return err
			})
		},
	}
	return []*cobra.Command{promote, abort, story}
}

// with reads the Deployment that arg names and calls f with it.
func with(ctx context.Context, flags *genericclioptions.ConfigFlags, arg string, f func(kubernetes.Interface, *appsv1.Deployment) error) error {
	name, err := deploymentName(arg)
	if err != nil {
		return err
	}
	namespace, _, err := flags.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return err
	}
	config, err := flags.ToRESTConfig()
	if err != nil {
		return err
	}
	c, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	d, err := c.AppsV1().Deployments(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if d.Annotations[api.AnnotationStrategy] == "" {
		return fmt.Errorf("deployment %q is rolled out at once: it has no annotation %s", name, api.AnnotationStrategy)
	}
	return f(c, d)
}

// deploymentName reads deployment/NAME and its shorter forms.
func deploymentName(arg string) (string, error) {
	kind, name, ok := strings.Cut(arg, "/")
	if !ok {
		return arg, nil
	}
	switch kind {
	case "deployment", "deployments", "deploy", "deployment.apps", "deployments.apps":
		if name != "" {
			return name, nil
		}
	}
	return "", fmt.Errorf("%q: only Deployments are rolled out by steps; deployment/NAME", arg)
}

func revision(d *appsv1.Deployment) (string, error) {
	r := d.Annotations[api.AnnotationRevision]
	if r == "" || d.Status.ObservedGeneration < d.Generation {
		return "", fmt.Errorf("the newest revision of deployment %q has not been seen yet; try again", d.Name)
	}
	return r, nil
}

func doPromote(ctx context.Context, c kubernetes.Interface, d *appsv1.Deployment, all bool) (string, error) {
	r, err := revision(d)
	if err != nil {
		return "", err
	}
	upTo := "all"
	if !all {
		p, err := progressOf(ctx, c, d)
		if err != nil {
			return "", err
		}
		upTo = fmt.Sprint(p.Step + 1)
	}
	return fmt.Sprintf("deployment.apps/%s promoted (revision %s, step %s)", d.Name, r, upTo), annotate(ctx, c, d, api.AnnotationPromote, r+"/"+upTo)
}

func doAbort(ctx context.Context, c kubernetes.Interface, d *appsv1.Deployment) (string, error) {
	r, err := revision(d)
	if err != nil {
		return "", err
	}
	p, err := progressOf(ctx, c, d)
	if err != nil {
		return "", err
	}
	if p.Done {
		return "", fmt.Errorf("the rollout of revision %s is finished; `rollout undo` goes back", r)
	}
	return fmt.Sprintf("deployment.apps/%s aborted (revision %s)", d.Name, r), annotate(ctx, c, d, api.AnnotationAbort, r)
}

// progress is what must be known of a rollout to steer it.
type progress struct {
	Step int  `json:"step"`
	Done bool `json:"done"`
}

func progressOf(ctx context.Context, c kubernetes.Interface, d *appsv1.Deployment) (p progress, err error) {
	rs, err := newest(ctx, c, d)
	if err != nil {
		return p, err
	}
	if text := rs.Annotations[api.AnnotationProgress]; text != "" {
		err = json.Unmarshal([]byte(text), &p)
	}
	return p, err
}

// newest returns the ReplicaSet of the Deployment's revision.
func newest(ctx context.Context, c kubernetes.Interface, d *appsv1.Deployment) (*appsv1.ReplicaSet, error) {
	sets, err := c.AppsV1().ReplicaSets(d.Namespace).List(ctx, metav1.ListOptions{LabelSelector: metav1.FormatLabelSelector(d.Spec.Selector)})
	if err != nil {
		return nil, err
	}
	for i := range sets.Items {
		if rs := &sets.Items[i]; metav1.IsControlledBy(rs, d) && rs.Annotations[api.AnnotationRevision] == d.Annotations[api.AnnotationRevision] {
			return rs, nil
		}
	}
	return nil, fmt.Errorf("deployment %q has no ReplicaSet of its newest revision yet; try again", d.Name)
}

func annotate(ctx context.Context, c kubernetes.Interface, d *appsv1.Deployment, key, value string) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": d.UID, "annotations": map[string]string{key: value}}})
	if err != nil {
		return err
	}
	_, err = c.AppsV1().Deployments(d.Namespace).Patch(ctx, d.Name, types.MergePatchType, patch, metav1.PatchOptions{})
	return err
}

func tell(ctx context.Context, c kubernetes.Interface, d *appsv1.Deployment) (string, error) {
	rs, err := newest(ctx, c, d)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, condition := range d.Status.Conditions {
		if condition.Type == api.ConditionRollout {
			fmt.Fprintf(&b, "%s: %s\n", condition.Reason, condition.Message)
		}
	}
	b.WriteString(rs.Annotations[api.AnnotationStory])
	return b.String(), nil
}
