package runtime

import (
	"context"
	"fmt"
	"sync"
	"time"

	tasks "github.com/containerd/containerd/api/services/tasks/v1"
)

// deleteAttempts is more than the two it takes to delete a running task, for its status
// may lag behind.
const deleteAttempts = 5

// deleteLimit bounds one deletion, whatever becomes of the caller.
const deleteLimit = 2 * time.Minute

// deleteTask removes the task of a container, killing what still runs in it, and waits
// until the kernel and the log writer are done with it. Without a task it does nothing.
//
// A deletion is neither given up halfway nor made twice at once (the exit and the pod's end
// both ask for it): containerd then forgets the task before it has told its shim to leave,
// and the shim stays for ever.
func (r *Runtime) deleteTask(ctx context.Context, id string) error {
	defer r.deleting.lock(id)()
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), deleteLimit)
	defer cancel()
	var err error
	for range deleteAttempts {
		_, err = r.client.TaskService().Delete(ctx, &tasks.DeleteTaskRequest{ContainerID: id})
		if err == nil || isNotFound(err) {
			return nil
		}
		// Usually because it runs, which containerd 1.6 tells by words only; or it ran
		// until just now. Killing what has ended does no harm.
		if err := r.killAndWait(ctx, id); err != nil {
			return fmt.Errorf("deleting task: %w", err)
		}
	}
	return fmt.Errorf("deleting task %s: %w", id, translate(err))
}

// turns lets those who want the same thing have it one after the other. The zero value is
// ready.
type turns struct {
	mu     sync.Mutex
	queues map[string]*turn // guarded by mu
}

type turn struct {
	sync.Mutex
	wanted int // guarded by turns.mu
}

// lock waits for key's turn and returns what ends it.
func (t *turns) lock(key string) (unlock func()) {
	t.mu.Lock()
	if t.queues == nil {
		t.queues = map[string]*turn{}
	}
	mine := t.queues[key]
	if mine == nil {
		mine = &turn{}
		t.queues[key] = mine
	}
	mine.wanted++
	t.mu.Unlock()
	mine.Lock()
	return func() {
		mine.Unlock()
		t.mu.Lock()
		defer t.mu.Unlock()
		if mine.wanted--; mine.wanted == 0 {
			delete(t.queues, key)
		}
	}
}
