// Package why is the verb that asks the scheduler: why is this pod here, or nowhere? What if
// something were otherwise, and what is the least that would help?
package why

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/miniorch/miniorch/pkg/explain"
)

type options struct {
	changes []string
	fix     bool
	all     bool
	output  string
}

// NewCommand returns the verb. Cluster and namespace come from flags.
func NewCommand(flags *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "why pod/NAME",
		Short: "Show why a pod runs where it does, or why it does not",
		Long: `Show what the scheduler said of every node when it last looked for one for the pod: who refused it and why, or how it scored.

With --if, also what it would say if something were otherwise. One of (several are made one after the other):

  node NODE +QUANTITY RESOURCE   more of a resource: "node n2 +1cpu", "node n2 +2Gi memory"
  untaint NODE KEY               take the taints of a key off a node
  cordon NODE, uncordon NODE     keep new pods off a node, or let them on
  label NODE KEY=VALUE           set a label of a node; unlabel NODE KEY removes it
  evict [NAMESPACE/]POD          without another pod
  without NODE                   without a node
  request RESOURCE=QUANTITY      the pod requests so much
  tolerate KEY                   the pod tolerates all taints of a key

Nothing is changed in the cluster. Who may get pods/why in the pod's namespace may ask.`,
		Example: `  # Why is web-0 Pending?
  kubectl why pod/web-0

  # Would it fit if n2 had a CPU more?
  kubectl why pod/web-0 --if "node n2 +1cpu"

  # What is the least that would help?
  kubectl why pod/web-0 --fix`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), flags, streams, args[0]) },
	}
	cmd.Flags().StringArrayVar(&o.changes, "if", nil, "a change to imagine; may be given several times")
	cmd.Flags().BoolVar(&o.fix, "fix", false, "name the smallest single changes after which the pod would fit")
	cmd.Flags().BoolVar(&o.all, "all", false, "show all nodes, not only the first 20 of each kind")
	cmd.Flags().StringVarP(&o.output, "output", "o", "", "json or yaml instead of tables")
	return cmd
}

func (o *options) run(ctx context.Context, flags *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams, arg string) error {
	name, err := podName(arg)
	if err != nil {
		return err
	}
	if o.output != "" && o.output != "json" && o.output != "yaml" {
		return fmt.Errorf("--output %s: json or yaml", o.output)
	}
	namespace, _, err := flags.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return err
	}
	config, err := flags.ToRESTConfig()
	if err != nil {
		return err
	}
	raw, err := o.ask(ctx, config, namespace, name)
	if err != nil {
		return err
	}
	if o.output == "json" {
		_, err = fmt.Fprintln(streams.Out, strings.TrimSpace(string(raw)))
		return err
	}
	if o.output == "yaml" {
		text, err := yaml.JSONToYAML(raw)
		if err == nil {
			_, err = streams.Out.Write(text)
		}
		return err
	}
	var a explain.Answer
	if err := json.Unmarshal(raw, &a); err != nil {
		return fmt.Errorf("reading the scheduler's answer: %w", err)
	}
	return o.write(streams.Out, namespace+"/"+name, &a)
}

// podName reads pod/NAME, pods/NAME, po/NAME or NAME.
func podName(arg string) (string, error) {
	kind, name, ok := strings.Cut(arg, "/")
	if !ok {
		return arg, nil
	}
	if kind != "pod" && kind != "pods" && kind != "po" || name == "" {
		return "", fmt.Errorf("%q: only pods are scheduled; pod/NAME", arg)
	}
	return name, nil
}

func (o *options) ask(ctx context.Context, config *rest.Config, namespace, name string) ([]byte, error) {
	config = rest.CopyConfig(config)
	config.GroupVersion, config.APIPath, config.NegotiatedSerializer = &corev1.SchemeGroupVersion, "/api", scheme.Codecs.WithoutConversion()
	c, err := rest.RESTClientFor(config)
	if err != nil {
		return nil, err
	}
	r := c.Get().Namespace(namespace).Resource("pods").Name(name).SubResource("why")
	for _, change := range o.changes {
		r = r.Param("if", change)
	}
	if o.fix {
		r = r.Param("fix", "true")
	}
	raw, err := r.DoRaw(ctx)
	if err != nil {
		return nil, told(err, raw)
	}
	return raw, nil
}

// told returns what the scheduler said is wrong, in its own words.
func told(err error, body []byte) error {
	if text := strings.TrimSpace(string(body)); text != "" && text[0] != '{' {
		return fmt.Errorf("%s", text)
	}
	return err
}
