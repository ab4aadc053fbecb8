package main

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/nexobroker/nexo/ui"
)

var (
	demoProducts = []string{"teapot", "kettle", "grinder", "scale", "filter", "mug", "carafe", "beans-1kg", "beans-250g", "tamper"}
	demoCities   = []string{"Lisbon", "Oslo", "Turin", "Ghent", "Graz", "Lyon", "Porto", "Malmo"}
	demoNames    = []string{"Ada", "Bo", "Carla", "Dimitri", "Eva", "Femke", "Goran", "Hana", "Ivo", "Juna"}
	demoReasons  = []string{"502 from the receiver", "connection timed out", "certificate has expired", "mailbox is full"}
)

func pick(c *demoClient, list []string) string { return list[c.random.IntN(len(list))] }

// wave makes the pause longer and shorter within a minute, and never regular.
func (c *demoClient) wave(pause time.Duration) time.Duration {
	phase := 2 * math.Pi * float64(time.Now().UnixMilli()%60_000) / 60_000
	return time.Duration(float64(pause) * (1 + 0.5*math.Sin(phase)) * (0.5 + c.random.Float64()))
}

func (c *demoClient) user() string { return strconv.Itoa(1000 + c.random.IntN(200)) }

// visit is one page view: the session and the profile are read, now and then written, and a limiter is asked.
func (c *demoClient) visit() error {
	user := c.user()
	session, err := c.do("NGET", "session:"+user)
	if err != nil {
		return err
	}
	if session.Kind == ui.Null {
		err = c.all([]string{"NSET", "session:" + user, fmt.Sprintf(`{"user":%s,"cart":[],"language":"en"}`, user), "EX",
			strconv.Itoa(60 + c.random.IntN(600))},
			[]string{"NSET", "user:" + user + ":profile", fmt.Sprintf(`{"name":%q,"city":%q,"orders":%d}`, pick(c, demoNames), pick(c, demoCities),
				c.random.IntN(40))})
	}
	if err != nil {
		return err
	}
	product := pick(c, demoProducts)
	if err := c.all([]string{"NINCR", "views:" + product}, []string{"NGET", "user:" + user + ":profile"}, []string{"NGET", "page:" + product},
		[]string{"NLIMIT", "limit:user:" + user, "20", "10s"}); err != nil {
		return err
	}
	if c.random.IntN(4) == 0 {
		return c.all([]string{"NSET", "page:" + product, "<article><h1>" + product + "</h1></article>", "EX", "30"})
	}
	return nil
}

// order writes an event, and asks for what follows from it: a payment, a mail, a call to a partner, a picture.
func (c *demoClient) order() error {
	user, product := c.user(), pick(c, demoProducts)
	pieces := 1 + c.random.IntN(3)
	event := fmt.Sprintf(`{"type":"order.placed","user":%s,"product":%q,"pieces":%d,"total":%.2f}`, user, product, pieces,
		float64(pieces)*(5+c.random.Float64()*60))
	appended, err := c.do("XAPPEND", "orders", event)
	if err != nil {
		return err
	}
	order := appended.Text()
	priority := "0"
	if c.random.IntN(10) == 0 {
		priority = "9" // a good customer
	}
	lines := [][]string{
		{"QPUSH", "payments", fmt.Sprintf(`{"order":%s,"user":%s}`, order, user), "PRIORITY", priority, "DEDUP", "order-" + order},
		{
			"QPUSH", "mails", fmt.Sprintf(`{"to":"user%s@example.com","subject":"Your order %s","order":%s}`, user, order, order),
			"PRIORITY", priority,
		},
		{"NPUB", "shop/orders/" + product, event},
	}
	switch c.random.IntN(8) {
	case 0:
		lines = append(lines, []string{"QPUSH", "webhooks", fmt.Sprintf(`{"url":"https://partner.example.com/orders","order":%s}`, order)})
	case 1:
		lines = append(lines, []string{"QPUSH", "thumbnails", fmt.Sprintf(`{"file":"review-%s.jpg","widths":[320,640,1280]}`, order)})
	case 2:
		lines = append(lines, []string{"QPUSH", "reports", fmt.Sprintf(`{"report":"daily","city":%q}`, pick(c, demoCities)), "DELAY",
			strconv.Itoa(1+c.random.IntN(24)) + "h"})
	}
	return c.all(lines...)
}

// measure publishes what a shelf reports and keeps it for who comes later.
func (c *demoClient) measure() error {
	shelf := 1 + c.random.IntN(24)
	at := 2 * math.Pi * float64(time.Now().Unix()%600) / 600
	temperature := 19 + 2*math.Sin(at+float64(shelf)) + c.random.Float64()
	return c.all([]string{"NPUB", fmt.Sprintf("shelves/%d/temperature", shelf), fmt.Sprintf(`{"celsius":%.1f}`, temperature), "RETAIN", "EX",
		"3600"})
}

// click is an event of little worth, of which there are many.
func (c *demoClient) click() error {
	return c.all([]string{"XAPPEND", "clicks", fmt.Sprintf(`{"user":%s,"page":"/products/%s","ms":%d}`, c.user(), pick(c, demoProducts),
		20+c.random.IntN(400))})
}

// worker takes a job, and fails with the given chance.
func worker(queue string, fails float64) func(*demoClient) error {
	return func(c *demoClient) error {
		popped, err := c.do("QPOP", queue, "BLOCK", "1s")
		if err != nil {
			return err
		}
		for _, job := range popped.List() {
			handle := job.List()[0].Text()
			line := []string{"QACK", queue, handle}
			if c.random.Float64() < fails {
				line = []string{"QNACK", queue, handle, "REASON", pick(c, demoReasons)}
			}
			if err := c.all(line); err != nil {
				return err
			}
		}
		return nil
	}
}

// consumer reads a stream with its group; what it gives up is parked.
func consumer(stream, group string, fails float64) func(*demoClient) error {
	return func(c *demoClient) error {
		got, err := c.do("XCONSUME", stream, group, "demo", "COUNT", "10", "BLOCK", "1s")
		if err != nil {
			return err
		}
		parts := got.List()
		if len(parts) != 3 {
			return nil
		}
		for _, entry := range parts[2].List() {
			offset := entry.List()[0].Text()
			line := []string{"XACK", stream, group, offset}
			if c.random.Float64() < fails {
				line = []string{"XNACK", stream, group, "FATAL", "IDS", "1", offset, "REASON", "the event has no page"}
			}
			if err := c.all(line); err != nil {
				return err
			}
		}
		return nil
	}
}

// failSome gives up a few jobs and entries, so that there are dead letters and parked entries to look at.
func (c *demoClient) failSome() error {
	for range 12 {
		popped, err := c.do("QPOP", "webhooks")
		if err != nil {
			return err
		}
		for _, job := range popped.List() {
			if err := c.all([]string{"QNACK", "webhooks", job.List()[0].Text(), "DEAD", "REASON", pick(c, demoReasons)}); err != nil {
				return err
			}
		}
	}
	return consumer("clicks", "analytics", 0.5)(c)
}
