package stomp_test

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/go-stomp/stomp/v3/frame"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/brokertest"
	"tocsin.internal/internal/stompclient"
	"tocsin.internal/sources/sourcetest"
)

const asGuest = `,"login":"guest","passcode":"guest","host":"/"`

func TestRabbitMQ(t *testing.T) {
	b := brokertest.RabbitMQ(t)
	t.Run("contract", func(t *testing.T) { contract(t, b, b.URL) })
	t.Run("contract over WebSocket", func(t *testing.T) { contract(t, b, b.WebSocket) })
	t.Run("keeps what is not stored", func(t *testing.T) { keeps(t, b, `{"id":"brno","durable":"true","auto-delete":"false"}`, "") })
	t.Run("refuses", func(t *testing.T) { refuses(t, b, `the server says "Bad CONNECT: Access refused for user 'guest'`) })
	t.Run("comes back", func(t *testing.T) { comesBack(t, b) })
}

func TestActiveMQ(t *testing.T) {
	b := brokertest.ActiveMQ(t)
	t.Run("contract", func(t *testing.T) { contract(t, b, b.URL) })
	t.Run("keeps what is not stored", func(t *testing.T) {
		keeps(t, b, `{"activemq.subscriptionName":"brno"}`, "brno")
	})
	t.Run("refuses", func(t *testing.T) { refuses(t, b, `the server says "User name [guest] or password is invalid.`) })
	t.Run("comes back", func(t *testing.T) { comesBack(t, b) })
}

// dial connects, as a client id where it is not empty.
func dial(t *testing.T, b *brokertest.STOMP, id string) (c *stompclient.Conn) {
	t.Helper()
	o := stompclient.Options{URL: b.URL, Login: "guest", Passcode: "guest", Host: b.Host}
	if id != "" {
		o.Headers = map[string]string{"client-id": id}
	}
	require.Eventually(t, func() bool {
		var err error
		c, err = stompclient.Dial(t.Context(), o)
		return err == nil
	}, 3*time.Minute, 20*time.Millisecond)
	return c
}

// put sends messages that outlive the broker, and waits until it has them.
func put(t *testing.T, b *brokertest.STOMP, destination string, bodies ...string) {
	t.Helper()
	c := dial(t, b, "")
	defer c.Close()
	for i, body := range bodies {
		f := frame.New(frame.SEND, frame.Destination, destination, "persistent", "true", frame.Receipt, fmt.Sprint(i))
		f.Body = []byte(body)
		require.NoError(t, c.Send(f))
	}
	for range bodies {
		f, err := c.Read()
		require.NoError(t, err)
		require.Equal(t, frame.RECEIPT, f.Command)
	}
}

func contract(t *testing.T, b *brokertest.STOMP, url string) {
	n := 0
	sourcetest.Run(t, func(t *testing.T) sourcetest.Origin {
		n++
		// What a clause leaves unacknowledged comes again: none has the queue of another.
		destination := fmt.Sprintf("/queue/%s%d.%s.%s", url[:strings.Index(url, ":")], n, sourcetest.Twin, sourcetest.Feed)
		var bodies []string
		for i := range sourcetest.Count {
			bodies = append(bodies, sourcetest.Data(i))
		}
		put(t, b, destination, bodies...)
		return sourcetest.Origin{Source: open(t, url, strings.Replace(plant, "/queue/plant.*", destination, 1), asGuest)}
	})
}

// keeps proves that a message which was stored does not come again, and that one
// which was not does: of a durable topic, with wildcards.
func keeps(t *testing.T, b *brokertest.STOMP, durable, id string) {
	connect := ""
	if id != "" {
		connect = fmt.Sprintf(`,"headers":{"client-id":%q}`, id)
	}
	source := open(t, b.URL, fmt.Sprintf(`{"destination":"/topic/plant.*.*","twin":"{2.2}","feed":"{2.3}","headers":%s},
		{"destination":"/queue/second","twin":"t","feed":"f"}`, durable), asGuest+connect)
	// gone waits until the broker has let go of the source: it lets in an id once.
	gone := func() {
		c := dial(t, b, id)
		c.Leave(3 * time.Minute)
		_, err := c.Read()
		require.ErrorIs(t, err, io.EOF)
		c.Close()
	}
	r := run(t, source)
	put(t, b, "/queue/second", `{"n":0}`)
	r.Wait(t, 1) // so it has subscribed to both
	put(t, b, "/topic/plant.m.f", `{"n":1}`)
	r.Wait(t, 2)
	r.End(t)
	gone()
	put(t, b, "/topic/plant.m.f", `{"n":2}`, `{"n":3}`) // while nobody is there
	refusing := sourcetest.Begin(t, source, assert.AnError)
	<-refusing.Came
	refusing.End(t)
	gone()
	again := run(t, source)
	came := map[string]bool{} // in any order: one may come back from the connection before, and one have been kept
	for n := 2; len(came) < 2; n++ {
		for _, s := range again.Wait(t, n) {
			came[s.Twin+" "+string(s.Data)] = true
		}
	}
	again.End(t)
	assert.Equal(t, map[string]bool{`m {"n":2}`: true, `m {"n":3}`: true}, came)
}

func refuses(t *testing.T, b *brokertest.STOMP, want string) {
	err := open(t, b.URL, plant, `,"login":"guest","passcode":"wrong","host":"/"`).Run(t.Context(), new(sourcetest.Running).Emit)
	require.ErrorContains(t, err, want)
}

// comesBack proves that a broker which was killed is subscribed to again.
func comesBack(t *testing.T, b *brokertest.STOMP) {
	r := run(t, open(t, b.URL, `{"destination":"/queue/back","twin":"t","feed":"f"}`, asGuest))
	put(t, b, "/queue/back", `{"n":1}`)
	r.Wait(t, 1)
	b.Kill()
	b.Start(t)
	put(t, b, "/queue/back", `{"n":2}`)
	for n := 2; ; n++ { // what was stored may come again: the broker may have died before the acknowledgement
		got := r.Wait(t, n)
		if string(got[len(got)-1].Data) == `{"n":2}` {
			break
		}
	}
	r.End(t)
}
