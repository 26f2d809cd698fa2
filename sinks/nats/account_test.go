package nats_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	client "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/natstest"
	"tocsin.internal/internal/porttest"
	"tocsin.internal/sinks"
	"tocsin.internal/sinks/sinktest"
)

// plant is a server with the accounts plant, where a user, an NKey and another
// user who may not publish alerts are, and other.
func plant(t *testing.T, dir string, port int, key string) *server.Server {
	t.Helper()
	config := filepath.Join(t.TempDir(), "server.conf")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, `
listen: "127.0.0.1:%d"
jetstream { store_dir: %q }
accounts {
  plant {
    jetstream: enabled
    users: [{user: ann, password: "s3cret"}, {nkey: %s}, {user: bob, password: "s3cret", permissions: {publish: {deny: ["alerts.>"]}}}]
  }
  other { users: [{user: eve, password: "s3cret"}] }
}`, port, dir, key), 0o600))
	o, err := server.ProcessConfigFile(config)
	require.NoError(t, err)
	o.NoLog, o.NoSigs, o.AuthTimeout = true, true, 60
	return natstest.Serve(t, o)
}

var subjects = []string{"alerts.v1.>", "outputs.v1.>", "notify.v1.>", "stickers.v1.>"}

// kept makes a stream in the account of ann.
func kept(t *testing.T, url string) jetstream.Stream {
	t.Helper()
	nc, err := client.Connect(url, client.UserInfo("ann", "s3cret"), client.Timeout(time.Minute), client.MaxReconnects(-1), client.ReconnectWait(10*time.Millisecond))
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute))
	require.NoError(t, err)
	stream, err := js.CreateOrUpdateStream(t.Context(), jetstream.StreamConfig{Name: "PLANT", Subjects: subjects, Duplicates: 10 * time.Minute})
	require.NoError(t, err)
	return stream
}

func messages(t *testing.T, stream jetstream.Stream) uint64 {
	t.Helper()
	info, err := stream.Info(t.Context())
	require.NoError(t, err)
	return info.State.Msgs
}

// TestAnotherAccount proves that a stream in an account of another server stores
// what is delivered, once, by each way to say who we are.
func TestAnotherAccount(t *testing.T) {
	user, err := nkeys.CreateUser()
	require.NoError(t, err)
	public, err := user.PublicKey()
	require.NoError(t, err)
	seed, err := user.Seed()
	require.NoError(t, err)
	dir := t.TempDir()
	keyFile, passwordFile := filepath.Join(dir, "seed"), filepath.Join(dir, "password")
	require.NoError(t, os.WriteFile(keyFile, seed, 0o600))
	require.NoError(t, os.WriteFile(passwordFile, []byte("s3cret\n"), 0o600))
	url := plant(t, t.TempDir(), porttest.Port(t), public).ClientURL()

	early := open(t, fmt.Sprintf(`{"url":%q,"user":"ann","password":"s3cret","stream":true}`, url))
	err = early.Deliver(t.Context(), sinktest.Alert())
	require.ErrorContains(t, err, "nats sink: no stream takes alerts.v1.tocsin.critical.overheating:too-hot.machine_1.raised: ")
	assert.False(t, sinks.IsPermanent(err), "an operator can mend it")

	stream := kept(t, url)
	for _, who := range []string{`"user":"ann","password":"s3cret"`, fmt.Sprintf(`"user":"ann","passwordFile":%q`, passwordFile), fmt.Sprintf(`"nkey":%q`, keyFile)} {
		require.NoError(t, open(t, fmt.Sprintf(`{"url":%q,%s,"stream":true}`, url, who)).Deliver(t.Context(), sinktest.Alert()), who)
	}
	assert.EqualValues(t, 1, messages(t, stream), "one id is stored once")
	m, err := stream.GetMsg(t.Context(), 1)
	require.NoError(t, err)
	alert := sinktest.Alert()
	assert.Equal(t, string(alert.AppendJSON(nil)), string(m.Data))
	assert.Equal(t, alert.EventID(), m.Header.Get(client.MsgIdHdr))

	refused := open(t, fmt.Sprintf(`{"url":%q,"user":"bob","password":"s3cret","stream":true}`, url))
	require.Eventually(t, func() bool { // the time may be over before the server has said so
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := refused.Deliver(ctx, sinktest.Alert())
		assert.Error(t, err)
		assert.False(t, sinks.IsPermanent(err))
		return errors.Is(err, client.ErrPermissionViolation)
	}, time.Minute, 20*time.Millisecond)
	err = open(t, fmt.Sprintf(`{"url":%q,"user":"ann","password":"wr0ng"}`, url)).Deliver(t.Context(), sinktest.Alert())
	require.ErrorIs(t, err, client.ErrAuthorization)
	require.NoError(t, open(t, fmt.Sprintf(`{"url":%q,"user":"eve","password":"s3cret"}`, url)).Deliver(t.Context(), sinktest.Alert()))
	assert.EqualValues(t, 1, messages(t, stream), "another account is another world")
}

func TestStreamContract(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinks.Sink {
		s := serve(t, func(o *server.Options) { o.JetStream, o.StoreDir = true, t.TempDir() })
		nc, err := client.Connect(s.ClientURL(), client.Timeout(time.Minute))
		require.NoError(t, err)
		t.Cleanup(nc.Close)
		js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute))
		require.NoError(t, err)
		_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "ALL", Subjects: subjects, Storage: jetstream.MemoryStorage})
		require.NoError(t, err)
		nc.Close()
		return open(t, fmt.Sprintf(`{"url":%q,"stream":true}`, s.ClientURL()))
	})
}

// TestServerRestartsInTheMiddle proves that nothing is lost, and nothing is
// stored twice.
func TestServerRestartsInTheMiddle(t *testing.T) {
	const workers, each = 8, 50
	user, err := nkeys.CreateUser()
	require.NoError(t, err)
	public, err := user.PublicKey()
	require.NoError(t, err)
	dir, port := t.TempDir(), porttest.Port(t)
	s := plant(t, dir, port, public)
	kept(t, s.ClientURL())
	sink := open(t, fmt.Sprintf(`{"url":%q,"user":"ann","password":"s3cret","stream":true}`, s.ClientURL()))
	half := make(chan struct{}, workers)
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for i := range each {
				o := sinktest.Alert()
				o.Twin, o.Seq = fmt.Sprintf("machine_%d", w), uint64(i)
				for {
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					err := sink.Deliver(ctx, o)
					cancel()
					if err == nil || t.Context().Err() != nil {
						break
					}
					assert.False(t, sinks.IsPermanent(err), "%v", err)
					time.Sleep(10 * time.Millisecond) // as the engine does
				}
				if i == each/2 {
					half <- struct{}{}
				}
			}
		})
	}
	<-half
	stop(s)
	s = plant(t, dir, port, public)
	group.Wait()
	assert.EqualValues(t, workers*each, messages(t, kept(t, s.ClientURL())))
}
