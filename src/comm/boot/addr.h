/* addr.h - socket addresses, IPv4 and IPv6 alike: from text and names, to text, to sockets. */
#ifndef EPX_COMM_BOOT_ADDR_H
#define EPX_COMM_BOOT_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "core/fail.h"

#define EPX_ADDR_TEXT 80 /* "[fe80::1%eth0]:29500" */

typedef struct epx_addr {
    struct sockaddr_storage sa;
    socklen_t bytes;
} epx_addr;

/* Splits "host:port" or "[v6]:port". */
EPX_NODISCARD epx_status epx_addr_split(const char *text, char *host_out, size_t host_size,
                                        uint16_t *port_out);
/* Addresses of a host name or number, without port; at most max. EPX_ERR_SYSTEM names host and
 * port (the latter for the sentence only). */
EPX_NODISCARD epx_status epx_addr_resolve(const char *host, uint16_t port, epx_addr *addrs_out,
                                          int max, int *count_out);
/* A numeric address, without port. */
EPX_NODISCARD epx_status epx_addr_parse(const char *number, epx_addr *addr_out);

void epx_addr_set_port(epx_addr *addr, uint16_t port);
uint16_t epx_addr_port(const epx_addr *addr);
/* Equal but for the port. */
bool epx_addr_same_host(const epx_addr *a, const epx_addr *b);
/* "10.0.0.1" or "fe80::1%eth0". */
void epx_addr_number(const epx_addr *addr, char *text, size_t size);
/* With the port, for people: "10.0.0.1:29500", "[::1]:29500". */
void epx_addr_text(const epx_addr *addr, char *text, size_t size);

/* The far end of a connection, "?" when it is gone. */
void epx_addr_peer_text(int fd, char *text, size_t size);

/* Own end of a connected or listening socket. */
EPX_NODISCARD epx_status epx_addr_of_socket(int fd, epx_addr *addr_out);

/* A non-blocking listener on exactly addr (port 0: any). EPX_ERR_SYSTEM names address and reason;
 * *in_use_out tells whether another port could help. */
EPX_NODISCARD epx_status epx_addr_listen(const epx_addr *addr, int *fd_out, bool *in_use_out);
/* A non-blocking connection, tuned as below. EPX_ERR_PEER_LOST (nobody there) or EPX_ERR_TIMEOUT
 * names addr; EPX_ERR_SYSTEM: this process can open no socket. */
EPX_NODISCARD epx_status epx_addr_connect(const epx_addr *addr, uint64_t until_ns, int *fd_out);
/* No delay, keepalive, and an end to sending into the void: for every TCP connection of ours. */
void epx_addr_tune(int fd);

#endif /* EPX_COMM_BOOT_ADDR_H */
