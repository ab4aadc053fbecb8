package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func set(t *testing.T, environment ...string) {
	t.Helper()
	for _, pair := range environment {
		name, value, _ := strings.Cut(pair, "=")
		t.Setenv(name, value)
	}
}

func names(list []passedOver) string {
	var words []string
	for _, one := range list {
		words = append(words, one.name)
	}
	return strings.Join(words, " ")
}

// TestServiceLinksSetNothing has what Kubernetes and Docker put into the environment beside a service named nexo.
func TestServiceLinksSetNothing(t *testing.T) {
	links := []string{
		"NEXO_SERVICE_HOST=10.96.12.7", "NEXO_SERVICE_PORT=7654", "NEXO_SERVICE_PORT_RESP=7654", "NEXO_SERVICE_PORT_DASHBOARD=8080",
		"NEXO_PORT=tcp://10.96.12.7:7654", "NEXO_PORT_7654_TCP=tcp://10.96.12.7:7654", "NEXO_PORT_7654_TCP_PROTO=tcp",
		"NEXO_PORT_7654_TCP_PORT=7654",
		"NEXO_PORT_7654_TCP_ADDR=10.96.12.7", "NEXO_PORT_9_UDP=udp://10.96.12.7:9",
		"NEXO_DASHBOARD_PORT=tcp://10.96.12.8:8080", "NEXO_DASHBOARD_SERVICE_HOST=10.96.12.8", "NEXO_DASHBOARD_SERVICE_PORT=8080",
		"NEXO_DASHBOARD_PORT_8080_TCP=tcp://10.96.12.8:8080", "NEXO_ORDERS_PORT=tcp://10.96.12.9:1",
	}
	set(t, links...)
	o, err := configured(t, "")
	if err != nil {
		t.Fatal(err)
	}
	if o.port != 7654 || o.dashboard.port != 8080 || o.dashboard.portGiven || o.host != "127.0.0.1" {
		t.Errorf("a service link has set something: %+v", o)
	}
	for _, link := range links {
		name, _, _ := strings.Cut(link, "=")
		if !strings.Contains(" "+names(o.passedOver)+" ", " "+name+" ") {
			t.Errorf("nothing is said of %s", name)
		}
	}
	set(t, "NEXO_DASHBOARD_PORT=18080")
	if o, err = configured(t, ""); err != nil || o.dashboard.port != 18080 || !o.dashboard.portGiven || o.port != 7654 {
		t.Errorf("a variable of ours beside service links: %v %+v", err, o.dashboard)
	}
}

func TestVariablesOfOthersAreLeftAlone(t *testing.T) {
	set(t, "NEXO_ENV=prod", "NEXO_LOG=nexo=trace,info", "NEXO_URL=http://x", "NEXO_NAME=/app/nexo", "NEXO_API_TOKEN=x", "NEXO_TEAM=1",
		"NEXO_HOME=/x", "OTHER=1")
	o, err := configured(t, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"NEXO_ENV", "NEXO_LOG", "NEXO_API_TOKEN", "NEXO_HOME", "NEXO_NAME", "NEXO_TEAM", "NEXO_URL"} {
		if !strings.Contains(" "+names(o.passedOver)+" ", " "+name+" ") {
			t.Errorf("nothing is said of %s: %s", name, names(o.passedOver))
		}
	}
	if o.logLevel != "info" || !o.dashboard.enabled {
		t.Errorf("something was set: %+v", o)
	}
}

func TestMistypedVariables(t *testing.T) {
	for name, meant := range map[string]string{
		"NEXO_PROT": "NEXO_PORT", "NEXO_MAX_CLIENTS": "NEXO_MAXCLIENTS", "NEXO_PASWORD": "NEXO_PASSWORD", "NEXO_PASS": "NEXO_PASSWORD",
		"NEXO_PASSWD":        "NEXO_PASSWORD",
		"NEXO_DASHBORD_PORT": "NEXO_DASHBOARD_PORT", "NEXO_FSYNC_INTERVALL": "NEXO_FSYNC_INTERVAL",
		"NEXO_STORE_DURABILTY": "NEXO_STORE_DURABILITY",
		"NEXO_MAXMEM":          "NEXO_MAXMEMORY", "NEXO_LOGLEVEL": "NEXO_LOG_LEVEL", "NEXO_TLS_CERTS": "NEXO_TLS_CERT",
	} {
		t.Run(name, func(t *testing.T) {
			set(t, name+"=1")
			want := fmt.Sprintf("environment variable %s is unknown; did you mean %s?", name, meant)
			if _, err := configured(t, ""); err == nil || err.Error() != want {
				t.Errorf("%v, want %s", err, want)
			}
		})
	}
}

func TestValuesOfVariables(t *testing.T) {
	for pair, want := range map[string]string{
		"NEXO_PORT=x":                `environment variable NEXO_PORT: "x" is not an integer`,
		"NEXO_TIMEOUT=5":             `environment variable NEXO_TIMEOUT: "5" is not a duration, such as 50ms, 2s, 1h or 7d`,
		"NEXO_DASHBOARD=maybe":       `environment variable NEXO_DASHBOARD: "maybe" is not true or false`,
		"QUEUE_VISIBILITY_MS=30s":    `environment variable QUEUE_VISIBILITY_MS: "30s" is not a whole number of milliseconds`,
		"STREAM_MAX_DELIVERIES=many": `environment variable STREAM_MAX_DELIVERIES: "many" is not an integer`,
		"STORE_TTL_SECS=1e99":        `environment variable STORE_TTL_SECS: "1e99" is not a whole number of seconds`,
	} {
		t.Run(pair, func(t *testing.T) {
			set(t, pair)
			if _, err := configured(t, ""); err == nil || err.Error() != want {
				t.Errorf("%v, want %s", err, want)
			}
		})
	}
	set(t, "NEXO_PORT=", "NEXO_HOST=", "NEXO_PASSWORD=")
	if o, err := configured(t, ""); err != nil || o.port != 7654 || o.host != "127.0.0.1" {
		t.Errorf("variables without a value: %v %+v", err, o)
	}
}

// TestAliases sets each flag by the older name of its variable, and shows that everything else comes before it, but the file.
func TestAliases(t *testing.T) {
	set(t, "SERVER_HOST=127.0.0.2", "SERVER_SOCKET_TCP_PORT=1001", "SERVER_DASHBOARD_HTTP_PORT=1002", "NEXO_LOG=ERROR",
		"MAX_PAYLOAD_SIZE=2097152", "STORE_TTL_SECS=3600",
		"PUBSUB_DEFAULT_RETAINED_TTL_SECS=60", "QUEUE_VISIBILITY_MS=45000", "QUEUE_MAX_RETRIES=7", "STREAM_DEFAULT_RETENTION_AGE_MS=1000",
		"STREAM_DEFAULT_RETENTION_BYTES=5000000", "STREAM_ACK_WAIT_MS=2500", "STREAM_MAX_DELIVERIES=3", "STREAM_MAX_ACK_PENDING=50")
	o, err := configured(t, "port = 9\n")
	if err != nil {
		t.Fatal(err)
	}
	q, s, g := o.queueDefaults, o.streamDefaults, o.groupDefaults
	if o.host != "127.0.0.2" || o.port != 1001 || o.dashboard.port != 1002 || o.logLevel != "error" || o.maxPayload != 2<<20 ||
		o.storeDefaultTTL != time.Hour ||
		o.retainedDefaultTTL != time.Minute || q.Lease != 45_000 || q.MaxAttempts != 7 || s.MaxAge != time.Second || s.MaxBytes != 5_000_000 ||
		g.AckWait != 2500*time.Millisecond || g.MaxDeliver != 3 || g.MaxPending != 50 || len(o.passedOver) != 0 {
		t.Errorf("%+v", o)
	}
	set(t, "NEXO_PORT=1003", "NEXO_QUEUE_LEASE=1m", "QUEUE_MAX_RETRIES=0")
	if o, err = configured(t, "", "--host", "127.0.0.3"); err != nil || o.port != 1003 || o.host != "127.0.0.3" ||
		o.queueDefaults.Lease != 60_000 || o.queueDefaults.MaxAttempts != 1 {
		t.Errorf("our own variable, and a flag: %v %+v", err, o)
	}
}
