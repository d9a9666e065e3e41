// SPDX-License-Identifier: GPL-2.0-or-later
//
// Migrate with compression, by a QMP client that knows QEMU:
//
//	drive-migration SOURCE-SOCKET DESTINATION-SOCKET URI
//
// The destination waits with -incoming defer.  Prints what the source says of
// the migration in the end, as JSON.
package main

import (
	"context"
	"encoding/json"
	"log"
	"os"
	"time"

	"github.com/digitalocean/go-qemu/qmp"
)

func connect(path string) *qmp.SocketMonitor {
	monitor, err := qmp.NewSocketMonitor("unix", path, 10*time.Second)
	if err != nil {
		log.Fatal(err)
	}
	if err := monitor.Connect(); err != nil {
		log.Fatal(err)
	}
	return monitor
}

func run(monitor qmp.Monitor, name string, args interface{}) []byte {
	request, err := json.Marshal(qmp.Command{Execute: name, Args: args})
	if err != nil {
		log.Fatal(err)
	}
	answer, err := monitor.Run(request)
	if err != nil {
		log.Fatal(name, ": ", err)
	}
	return answer
}

type object map[string]interface{}

func enable(monitor qmp.Monitor, names ...string) {
	var list []object
	for _, name := range names {
		list = append(list, object{"capability": name, "state": true})
	}
	run(monitor, "migrate-set-capabilities", object{"capabilities": list})
}

// Events have to be taken at all times, or answers do not come through.
func watch(events <-chan qmp.Event, ended chan<- bool) {
	for event := range events {
		log.Print(event.Event, event.Data)
		status := event.Data["status"]
		if status == "completed" || status == "failed" {
			ended <- true
		}
	}
}

func main() {
	source, destination := connect(os.Args[1]), connect(os.Args[2])
	events, err := source.Events(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	ended := make(chan bool)
	go watch(events, ended)
	enable(source, "compress", "events")
	enable(destination, "compress")
	run(source, "migrate-set-parameters",
		object{"compress-level": 9, "compress-threads": 3})
	run(destination, "migrate-set-parameters",
		object{"decompress-threads": 2})
	run(destination, "migrate-incoming", object{"uri": os.Args[3]})
	run(source, "migrate", object{"uri": os.Args[3]})
	<-ended
	os.Stdout.Write(run(source, "query-migrate", nil))
	source.Disconnect()
	destination.Disconnect()
}
