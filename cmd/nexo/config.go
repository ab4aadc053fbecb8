package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/urfave/cli/v2"
)

// notInFile are the parameters that a configuration file may not hold: itself, and the secret that has a file of its own.
var notInFile = map[string]string{
	"config":   "a configuration file cannot name another one",
	"password": "a password does not stand in the configuration file: use password-file",
}

// applyFile gives the flags that neither the command line nor the environment has set the values of the configuration file. Its
// keys are the names of the server's flags; an unknown one is an error. Of a command that has only some of the flags the
// others are passed over.
func applyFile(c *cli.Context, flags []cli.Flag) error {
	path := c.String("config")
	if path == "" {
		return nil
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("--config: %w", err)
	}
	var values map[string]any
	if _, err := toml.Decode(string(content), &values); err != nil {
		return fmt.Errorf("--config: %s: %w", path, err)
	}
	var known []string
	for _, flag := range serverFlags() {
		known = append(known, flag.Names()[0])
	}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if _, isTable := values[key].(map[string]any); !slices.Contains(known, key) && !isTable {
			return fmt.Errorf("--config: %s: key %q is unknown; did you mean %q?", path, key, nearest(key, known))
		}
		if reason := notInFile[key]; reason != "" {
			return fmt.Errorf("--config: %s: %s", path, reason)
		}
		if table, isTable := values[key].(map[string]any); isTable {
			return fmt.Errorf("--config: %s: %s is a table, and the file has none: write %s", path, key, flattened(key, table, known))
		}
		value, err := flagValue(values[key])
		if err != nil {
			return fmt.Errorf("--config: %s: %s: %w", path, key, err)
		}
		flag := flagNamed(flags, key)
		if flag == nil || c.IsSet(key) {
			continue
		}
		if err := setFlag(c, flag, value); err != nil {
			return fmt.Errorf("--config: %s: %s: %w", path, key, err)
		}
	}
	return nil
}

// flattened is the key that the first one of a table should have been.
func flattened(table string, keys map[string]any, known []string) string {
	key := "key = value, by the names of the flags"
	for _, inner := range slices.Sorted(maps.Keys(keys)) {
		for _, name := range []string{table + "-" + inner, inner} {
			if slices.Contains(known, name) {
				return fmt.Sprintf("%s = %v", name, keys[inner])
			}
		}
	}
	return key
}

// flagValue writes a value of the file as it would stand on the command line.
func flagValue(value any) (string, error) {
	switch v := value.(type) {
	case string, bool, int64:
		return fmt.Sprint(v), nil
	case []any:
		var words []string
		for _, element := range v {
			word, ok := element.(string)
			if !ok {
				return "", fmt.Errorf("%v is not a list of strings", v)
			}
			words = append(words, word)
		}
		return strings.Join(words, ","), nil
	default:
		return "", fmt.Errorf("%v is not a string, an integer, true or false, or a list of strings", value)
	}
}

// readTLS makes the configuration of a listener with TLS; nil when no certificate is given.
func readTLS(certificate, key, clientCA string) (*tls.Config, error) {
	if certificate == "" && key == "" {
		if clientCA != "" {
			return nil, fmt.Errorf("--tls-client-ca: needs --tls-cert and --tls-key")
		}
		return nil, nil
	}
	if certificate == "" || key == "" {
		return nil, fmt.Errorf("--tls-cert and --tls-key are given together or not at all")
	}
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("--tls-cert, --tls-key: %w", err)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	if clientCA != "" {
		content, err := os.ReadFile(clientCA)
		if err != nil {
			return nil, fmt.Errorf("--tls-client-ca: %w", err)
		}
		config.ClientCAs, config.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
		if !config.ClientCAs.AppendCertsFromPEM(content) {
			return nil, fmt.Errorf("--tls-client-ca: %s holds no certificate", clientCA)
		}
	}
	return config, nil
}
