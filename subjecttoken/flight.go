package subjecttoken

import (
	"context"
	"errors"
	"sync"
)

// flight shares one call of ask among all who need its answer meanwhile. Each
// waits no longer than its own context; when the last one has left, the call's
// context is done.
type flight struct {
	ask func(context.Context) (Token, error)

	// deaf says that ask does not heed its context. A call then goes on when
	// nobody waits, and answers whoever comes next: another would pile up
	// behind it.
	deaf bool

	mu   sync.Mutex // guards call and the waiters in it; not held during ask
	call *call
}

// call is one call of ask.
type call struct {
	cancel  context.CancelFunc
	waiters int
	done    chan struct{} // closed when the fields below are set
	token   Token
	err     error
	panic   any
}

var errGoexit = errors.New("the goroutine ended without an answer")

// do returns the answer of the call that is under way, or of a new one.
func (f *flight) do(ctx context.Context) (Token, error) {
	if err := ctx.Err(); err != nil {
		return Token{}, err
	}
	c := f.join()
	defer f.leave(c)
	select {
	case <-ctx.Done():
		return Token{}, ctx.Err()
	case <-c.done:
	}
	if c.panic != nil {
		panic(c.panic) // where the caller can recover it
	}
	return c.token, c.err
}

func (f *flight) join() *call {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.call == nil {
		// Not a caller's context: the others' answer must not depend on it.
		ctx, cancel := context.WithCancel(context.Background())
		f.call = &call{cancel: cancel, done: make(chan struct{}), err: errGoexit}
		go f.run(ctx, f.call)
	}
	f.call.waiters++
	return f.call
}

// leave ends the call if nobody waits for it any longer, and forgets it, so
// that its error is not a newcomer's.
func (f *flight) leave(c *call) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c.waiters--; c.waiters == 0 && !f.deaf {
		c.cancel()
		f.forget(c)
	}
}

func (f *flight) run(ctx context.Context, c *call) {
	defer func() {
		c.panic = recover()
		f.mu.Lock()
		defer f.mu.Unlock()
		f.forget(c)
		close(c.done)
	}()
	c.token, c.err = f.ask(ctx)
}

func (f *flight) forget(c *call) {
	if f.call == c {
		f.call = nil
	}
}
