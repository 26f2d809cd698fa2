//go:build unix

package brokertest

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"tocsin.internal/internal/porttest"
	"tocsin.internal/internal/stompclient"
)

// STOMP is a broker with the user guest, whose password is guest.
type STOMP struct {
	*Broker
	URL       string // over TCP
	WebSocket string // "" where the broker has none
	Host      string // the virtual host
	Rest      string // the wildcard for the rest of a topic
}

// RabbitMQ starts one with its STOMP plugins.
func RabbitMQ(t testing.TB) *STOMP {
	t.Helper()
	// Of Debian's package the script beneath the wrapper, which wants to be another user.
	program := Find(t, "rabbitmq-server", "/usr/lib/rabbitmq/bin/rabbitmq-server", "rabbitmq-server")
	ports := porttest.Ports(t, 4)
	b := &Broker{Dir: t.TempDir(), program: program, ports: ports[:2]}
	// It would start this one itself, not wait for it, and leave it behind.
	epmd := &Broker{Dir: t.TempDir(), program: Find(t, "erlang-base", "epmd"), args: []string{"-port", fmt.Sprint(ports[3])}, ports: ports[3:]}
	epmd.run(t)
	config := b.File(t, "rabbit.conf", fmt.Sprintf("listeners.tcp = none\nstomp.listeners.tcp.1 = 127.0.0.1:%d\nweb_stomp.tcp.ip = 127.0.0.1\nweb_stomp.tcp.port = %d\n", ports[0], ports[1]))
	plugins := b.File(t, "enabled_plugins", "[rabbitmq_stomp,rabbitmq_web_stomp].\n")
	b.env = []string{
		"HOME=" + b.Dir, fmt.Sprintf("RABBITMQ_NODENAME=tocsin-%d@localhost", ports[0]), "RABBITMQ_CONFIG_FILE=" + config,
		"RABBITMQ_ENABLED_PLUGINS_FILE=" + plugins, "RABBITMQ_MNESIA_BASE=" + filepath.Join(b.Dir, "data"), "RABBITMQ_LOGS=-", "RABBITMQ_LOG_BASE=" + b.Dir,
		fmt.Sprintf("RABBITMQ_DIST_PORT=%d", ports[2]), fmt.Sprintf("ERL_EPMD_PORT=%d", ports[3]),
	}
	return (&STOMP{b, fmt.Sprintf("stomp://127.0.0.1:%d", ports[0]), fmt.Sprintf("ws://127.0.0.1:%d/ws", ports[1]), "/", "#"}).run(t)
}

// run starts the broker. It works when it lets the guest in: it opens its ports before.
func (b *STOMP) run(t testing.TB) *STOMP {
	t.Helper()
	b.works = func(ctx context.Context) error {
		for _, url := range []string{b.URL, b.WebSocket} {
			if url == "" {
				continue
			}
			c, err := stompclient.Dial(ctx, stompclient.Options{URL: url, Login: "guest", Passcode: "guest", Host: b.Host})
			if err != nil {
				return err
			}
			c.Close()
		}
		return nil
	}
	b.Broker.run(t)
	return b
}

const activeConfig = `<beans xmlns="http://www.springframework.org/schema/beans" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
    xsi:schemaLocation="http://www.springframework.org/schema/beans http://www.springframework.org/schema/beans/spring-beans-2.0.xsd
    http://activemq.apache.org/schema/core http://activemq.apache.org/schema/core/activemq-core.xsd">
  <broker xmlns="http://activemq.apache.org/schema/core" brokerName="tocsin" useJmx="false" persistent="true" dataDirectory="%s">
    <plugins><simpleAuthenticationPlugin><users>
      <authenticationUser username="guest" password="guest" groups="users"/>
    </users></simpleAuthenticationPlugin></plugins>
    <transportConnectors><transportConnector name="stomp" uri="stomp://127.0.0.1:%d"/></transportConnectors>
  </broker>
</beans>
`

// ActiveMQ starts one.
func ActiveMQ(t testing.TB) *STOMP {
	t.Helper()
	const home = "/usr/share/activemq"
	Find(t, "activemq", "activemq")
	program := Find(t, "default-jre-headless", "java")
	ports := porttest.Ports(t, 1)
	b := &Broker{Dir: t.TempDir(), program: program, ports: ports}
	config := b.File(t, "broker.xml", fmt.Sprintf(activeConfig, filepath.Join(b.Dir, "data"), ports[0]))
	b.args = []string{
		"-Xmx128m", "-XX:TieredStopAtLevel=1", "-Djava.io.tmpdir=" + b.Dir, "-Dactivemq.home=" + home, "-Dactivemq.base=" + b.Dir, "-Dactivemq.conf=" + b.Dir,
		"-Dactivemq.data=" + filepath.Join(b.Dir, "data"), "-jar", home + "/bin/activemq.jar", "start", "xbean:file:" + config,
	}
	return (&STOMP{b, fmt.Sprintf("stomp://127.0.0.1:%d", ports[0]), "", "", ">"}).run(t)
}
