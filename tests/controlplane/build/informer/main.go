// Command informer is a client-go program as people write them: a shared informer of pods. It writes what
// it is told as JSON lines, and, once it gets SIGTERM, what its store holds.
//
//	{"type":"ADDED","key":"ns/name","rv":"7","uid":"..."}        also MODIFIED (with "before": the rv it had), DELETED
//	{"type":"SYNCED","rv":"7"}                                    the store holds the first list
//	{"type":"STORE","rv":"9","objects":{"ns/name":"7"}}           the last line
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

type line struct {
	Type    string            `json:"type"`
	Key     string            `json:"key,omitempty"`
	RV      string            `json:"rv,omitempty"`
	Before  string            `json:"before,omitempty"`
	UID     string            `json:"uid,omitempty"`
	Unknown bool              `json:"unknown,omitempty"` // a delete that was missed: its last state is not known
	Objects map[string]string `json:"objects,omitempty"`
}

// journal writes lines, each whole and at once: its reader waits for them.
type journal struct {
	lock sync.Mutex
	out  *bufio.Writer
}

func (j *journal) write(l line) {
	j.lock.Lock()
	defer j.lock.Unlock()
	raw, err := json.Marshal(l)
	if err != nil {
		fail(err)
	}
	if _, err := j.out.Write(append(raw, '\n')); err != nil {
		fail(err)
	}
	if err := j.out.Flush(); err != nil {
		fail(err)
	}
}

func main() {
	kubeconfig := flag.String("kubeconfig", "", "a kubeconfig `file`")
	namespace := flag.String("namespace", "", "pods of this namespace alone (default: all)")
	flag.Parse()
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		fail(err)
	}
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		fail(err)
	}
	factory := informers.NewSharedInformerFactoryWithOptions(clients, 0, informers.WithNamespace(*namespace))
	informer := factory.Core().V1().Pods().Informer()
	told := &journal{out: bufio.NewWriter(os.Stdout)}
	if _, err := informer.AddEventHandler(handlers(told)); err != nil {
		fail(err)
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	stop := make(chan struct{})
	factory.Start(stop)
	go func() {
		if cache.WaitForCacheSync(stop, informer.HasSynced) {
			told.write(line{Type: "SYNCED", RV: informer.LastSyncResourceVersion()})
		}
	}()
	<-signals
	close(stop)
	factory.Shutdown()
	objects := map[string]string{}
	for _, one := range informer.GetStore().List() {
		pod := one.(*v1.Pod)
		objects[pod.Namespace+"/"+pod.Name] = pod.ResourceVersion
	}
	told.write(line{Type: "STORE", RV: informer.LastSyncResourceVersion(), Objects: objects})
}

func handlers(told *journal) cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc: func(now any) { told.write(of("ADDED", now.(*v1.Pod))) },
		UpdateFunc: func(before, now any) {
			l := of("MODIFIED", now.(*v1.Pod))
			l.Before = before.(*v1.Pod).ResourceVersion
			told.write(l)
		},
		DeleteFunc: func(gone any) {
			unknown, missed := gone.(cache.DeletedFinalStateUnknown)
			if missed {
				gone = unknown.Obj
			}
			l := of("DELETED", gone.(*v1.Pod))
			l.Unknown = missed
			told.write(l)
		},
	}
}

func of(kind string, pod *v1.Pod) line {
	return line{Type: kind, Key: pod.Namespace + "/" + pod.Name, RV: pod.ResourceVersion, UID: string(pod.UID)}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "informer:", err)
	os.Exit(1)
}
