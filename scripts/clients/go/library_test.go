package clients

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/gomodule/redigo/redis"
	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/rueidis"
)

// library is one client library behind the few things that the tests do with it. Set, Get, Pipeline and Subscribe use
// the library's own typed calls, Do its call for any command.
type library interface {
	Set(key, value string) error
	Get(key string) (string, error)
	// Pipeline increments the counter n times in one round trip and returns the replies.
	Pipeline(counter string, n int) ([]int64, error)
	// Do answers string, int64, nil or []any of these.
	Do(words ...string) (any, error)
	// Subscribe returns once the filter is confirmed. next waits for one message.
	Subscribe(filter string) (next func() (message, error), stop func(), err error)
	Close()
}

type message struct{ filter, topic, payload string }

const patience = 10 * time.Second

var libraries = map[string]func(addr string) (library, error){
	"go-redis": openGoRedis,
	"rueidis":  openRueidis,
	"redigo":   openRedigo,
}

// go-redis v9

type goRedis struct{ client *goredis.Client }

func openGoRedis(addr string) (library, error) {
	client := goredis.NewClient(&goredis.Options{Addr: addr})
	return &goRedis{client}, client.Ping(context.Background()).Err()
}

func (g *goRedis) Set(key, value string) error {
	return g.client.Set(context.Background(), key, value, 0).Err()
}

func (g *goRedis) Get(key string) (string, error) {
	return g.client.Get(context.Background(), key).Result()
}

func (g *goRedis) Pipeline(counter string, n int) ([]int64, error) {
	pipeline := g.client.Pipeline()
	replies := make([]*goredis.IntCmd, n)
	for i := range replies {
		replies[i] = pipeline.Incr(context.Background(), counter)
	}
	_, err := pipeline.Exec(context.Background())
	values := make([]int64, n)
	for i, reply := range replies {
		values[i] = reply.Val()
	}
	return values, err
}

func (g *goRedis) Do(words ...string) (any, error) {
	arguments := make([]any, len(words))
	for i, word := range words {
		arguments[i] = word
	}
	reply, err := g.client.Do(context.Background(), arguments...).Result()
	if errors.Is(err, goredis.Nil) {
		return nil, nil
	}
	return reply, err
}

func (g *goRedis) Subscribe(filter string) (func() (message, error), func(), error) {
	subscription := g.client.PSubscribe(context.Background(), filter)
	if _, err := subscription.ReceiveTimeout(context.Background(), patience); err != nil {
		return nil, nil, err
	}
	channel := subscription.Channel()
	next := func() (message, error) {
		select {
		case m, ok := <-channel:
			if !ok {
				return message{}, errors.New("the subscription ended")
			}
			return message{m.Pattern, m.Channel, m.Payload}, nil
		case <-time.After(patience):
			return message{}, errors.New("no message in time")
		}
	}
	return next, func() { subscription.Close() }, nil
}

func (g *goRedis) Close() { g.client.Close() }

// rueidis, without its client-side cache: that needs CLIENT TRACKING, which the server does not claim to have.

type rueidisLibrary struct{ client rueidis.Client }

func openRueidis(addr string) (library, error) {
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{addr}, DisableCache: true})
	return &rueidisLibrary{client}, err
}

func (r *rueidisLibrary) Set(key, value string) error {
	return r.client.Do(context.Background(), r.client.B().Set().Key(key).Value(value).Build()).Error()
}

func (r *rueidisLibrary) Get(key string) (string, error) {
	return r.client.Do(context.Background(), r.client.B().Get().Key(key).Build()).ToString()
}

func (r *rueidisLibrary) Pipeline(counter string, n int) ([]int64, error) {
	commands := make([]rueidis.Completed, n)
	for i := range commands {
		commands[i] = r.client.B().Incr().Key(counter).Build()
	}
	values := make([]int64, n)
	for i, reply := range r.client.DoMulti(context.Background(), commands...) {
		value, err := reply.AsInt64()
		if err != nil {
			return nil, err
		}
		values[i] = value
	}
	return values, nil
}

func (r *rueidisLibrary) Do(words ...string) (any, error) {
	command := r.client.B().Arbitrary(words...).Build()
	if slices.Contains(words, "BLOCK") {
		command = r.client.B().Arbitrary(words...).Blocking() // takes a connection of its own
	}
	reply, err := r.client.Do(context.Background(), command).ToAny()
	if rueidis.IsRedisNil(err) {
		return nil, nil
	}
	return reply, err
}

func (r *rueidisLibrary) Subscribe(filter string) (func() (message, error), func(), error) {
	messages := make(chan message, 100)
	confirmed := make(chan struct{}, 1)
	connection, release := r.client.Dedicate()
	ended := connection.SetPubSubHooks(rueidis.PubSubHooks{
		OnMessage:      func(m rueidis.PubSubMessage) { messages <- message{m.Pattern, m.Channel, m.Message} },
		OnSubscription: func(rueidis.PubSubSubscription) { confirmed <- struct{}{} },
	})
	err := connection.Do(context.Background(), connection.B().Psubscribe().Pattern(filter).Build()).Error()
	if err != nil {
		release()
		return nil, nil, err
	}
	select {
	case <-confirmed:
	case <-time.After(patience):
		release()
		return nil, nil, errors.New("no confirmation in time")
	}
	next := func() (message, error) {
		select {
		case m := <-messages:
			return m, nil
		case err := <-ended:
			return message{}, fmt.Errorf("the subscription ended: %w", err)
		case <-time.After(patience):
			return message{}, errors.New("no message in time")
		}
	}
	return next, release, nil
}

func (r *rueidisLibrary) Close() { r.client.Close() }

// redigo, with the pool of its documentation: a connection that failed is thrown away, the next one is new.

type redigo struct{ pool *redis.Pool }

func openRedigo(addr string) (library, error) {
	pool := &redis.Pool{MaxIdle: 3, Dial: func() (redis.Conn, error) { return redis.Dial("tcp", addr) }}
	r := &redigo{pool}
	_, err := r.Do("PING")
	return r, err
}

func (r *redigo) Set(key, value string) error {
	_, err := r.Do("SET", key, value)
	return err
}

func (r *redigo) Get(key string) (string, error) {
	connection := r.pool.Get()
	defer connection.Close()
	return redis.String(connection.Do("GET", key))
}

func (r *redigo) Pipeline(counter string, n int) ([]int64, error) {
	connection := r.pool.Get()
	defer connection.Close()
	for range n {
		if err := connection.Send("INCR", counter); err != nil {
			return nil, err
		}
	}
	return redis.Int64s(connection.Do(""))
}

func (r *redigo) Do(words ...string) (any, error) {
	connection := r.pool.Get()
	defer connection.Close()
	arguments := make([]any, 0, len(words))
	for _, word := range words[1:] {
		arguments = append(arguments, word)
	}
	reply, err := connection.Do(words[0], arguments...)
	return textOf(reply), err
}

// textOf turns redigo's byte slices into strings.
func textOf(reply any) any {
	switch value := reply.(type) {
	case []byte:
		return string(value)
	case []any:
		for i := range value {
			value[i] = textOf(value[i])
		}
	}
	return reply
}

func (r *redigo) Subscribe(filter string) (func() (message, error), func(), error) {
	connection := redis.PubSubConn{Conn: r.pool.Get()}
	if err := connection.PSubscribe(filter); err != nil {
		return nil, nil, err
	}
	if _, ok := connection.ReceiveWithTimeout(patience).(redis.Subscription); !ok {
		connection.Close()
		return nil, nil, errors.New("no confirmation in time")
	}
	next := func() (message, error) {
		switch m := connection.ReceiveWithTimeout(patience).(type) {
		case redis.Message:
			return message{m.Pattern, m.Channel, string(m.Data)}, nil
		case error:
			return message{}, m
		default:
			return message{}, fmt.Errorf("received %T", m)
		}
	}
	return next, func() { connection.Close() }, nil
}

func (r *redigo) Close() { r.pool.Close() }

// timedOut tells whether a client gave up waiting for a reply.
func timedOut(err error) bool {
	var network net.Error
	return errors.As(err, &network) && network.Timeout()
}
