package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
)

// redis is a connection of its own, so that looking does not pass through what is measured.
type redis struct {
	conn   net.Conn
	reader *bufio.Reader
}

func dialRedis(address string) (*redis, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	return &redis{conn, bufio.NewReader(conn)}, nil
}

func (r *redis) do(command string) (string, error) {
	if _, err := fmt.Fprintf(r.conn, "%s\r\n", command); err != nil {
		return "", err
	}
	line, err := r.reader.ReadString('\n')
	if err != nil {
		return "", err
	}
	line = strings.TrimRight(line, "\r\n")
	switch line[0] {
	case '$':
		n, err := strconv.Atoi(line[1:])
		if err != nil || n < 0 {
			return "", fmt.Errorf("%s: %q", command, line)
		}
		body := make([]byte, n+2)
		_, err = io.ReadFull(r.reader, body)
		return string(body), err
	case '-':
		return "", fmt.Errorf("%s: %s", command, line[1:])
	}
	return line[1:], nil
}

// cpu tells the CPU seconds that Redis has used (all its threads) and the commands that it has processed.
func (r *redis) cpu() (seconds float64, commands int64, err error) {
	info, err := r.do("INFO everything")
	if err != nil {
		return 0, 0, err
	}
	for _, line := range strings.Split(info, "\r\n") {
		name, value, _ := strings.Cut(line, ":")
		switch name {
		case "used_cpu_user", "used_cpu_sys":
			n, _ := strconv.ParseFloat(value, 64)
			seconds += n
		case "total_commands_processed":
			commands, _ = strconv.ParseInt(value, 10, 64)
		}
	}
	return seconds, commands, nil
}
