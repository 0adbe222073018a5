// Counts a visit in Redis. A client library takes os.Getenv("REDIS_URL") in place of this connection.
package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
)

func main() {
	connection, err := net.Dial("tcp", net.JoinHostPort(os.Getenv("REDIS_HOST"), os.Getenv("REDIS_PORT")))
	if err != nil {
		panic(err)
	}
	fmt.Fprintf(connection, "AUTH %s\r\nINCR visits\r\nQUIT\r\n", os.Getenv("REDIS_PASSWORD"))
	replies, err := io.ReadAll(connection)
	if err != nil {
		panic(err)
	}
	_, rest, _ := strings.Cut(string(replies), ":")
	visits, _, _ := strings.Cut(rest, "\r")
	fmt.Println("visits:", visits)
}
