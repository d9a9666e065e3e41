// SPDX-License-Identifier: GPL-2.0-or-later
//
// The same as drive-migration.go, by the client of Kata Containers, which
// talks to no QEMU before 5.0.
package main

import (
	"context"
	"encoding/json"
	"log"
	"os"
	"time"

	"github.com/kata-containers/govmm/qemu"
)

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func connect(ctx context.Context, path string) *qemu.QMP {
	client, version, err := qemu.QMPStart(ctx, path, qemu.QMPConfig{},
		make(chan struct{}))
	check(err)
	log.Print(*version)
	check(client.ExecuteQMPCapabilities(ctx))
	check(client.ExecSetMigrationCaps(ctx, []map[string]interface{}{
		{"capability": "compress", "state": true}}))
	return client
}

// This client has no events of migrations.
func wait(ctx context.Context, client *qemu.QMP) qemu.MigrationStatus {
	for {
		status, err := client.ExecuteQueryMigration(ctx)
		check(err)
		if status.Status == "completed" || status.Status == "failed" {
			return status
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func main() {
	ctx := context.Background()
	source, destination := connect(ctx, os.Args[1]), connect(ctx, os.Args[2])
	check(destination.ExecuteMigrationIncoming(ctx, os.Args[3]))
	check(source.ExecSetMigrateArguments(ctx, os.Args[3]))
	text, err := json.Marshal(map[string]interface{}{
		"return": wait(ctx, source)})
	check(err)
	os.Stdout.Write(text)
	source.Shutdown()
	destination.Shutdown()
}
