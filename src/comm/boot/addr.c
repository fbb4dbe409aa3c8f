/* addr.c - getaddrinfo, getnameinfo and TCP sockets. */
#include "comm/boot/addr.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/clock.h"

/* A host that vanished without a word is given up after 5 + 5 x 2 s; a busy or stopped process is
 * not: its kernel answers. */
#define KEEP_IDLE_S 5
#define KEEP_INTERVAL_S 2
#define KEEP_PROBES 5
#define SEND_LIMIT_MS 15000

epx_status epx_addr_split(const char *text, char *host_out, size_t host_size, uint16_t *port_out)
{
    const char *colon = strrchr(text, ':'), *host = text;
    size_t length = colon == NULL ? 0 : (size_t)(colon - text);
    char *end = NULL;
    unsigned long port;

    if (length > 1 && text[0] == '[' && colon[-1] == ']') {
        host++;
        length -= 2;
    } else if (memchr(text, ':', length) != NULL) {
        length = 0; /* IPv6 without brackets: which colon starts the port? */
    }
    if (length == 0 || length >= host_size || colon[1] < '0' || colon[1] > '9')
        return epx_fail(EPX_ERR_INVALID, "address \"%s\" is not host:port or [IPv6]:port", text);
    port = strtoul(colon + 1, &end, 10);
    if (*end != '\0' || port == 0 || port > 65535)
        return epx_fail(EPX_ERR_INVALID, "address \"%s\": the port is not within 1 and 65535",
                        text);
    memcpy(host_out, host, length);
    host_out[length] = '\0';
    *port_out = (uint16_t)port;
    return EPX_OK;
}

static epx_status resolve(const char *host, int flags, uint16_t port, epx_addr *addrs_out, int max,
                          int *count_out)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = flags}, *list = NULL, *item;
    int error = getaddrinfo(host, NULL, &hints, &list), count = 0;

    if (error != 0)
        return epx_fail(EPX_ERR_SYSTEM, "cannot resolve \"%s\" (port %u): %s", host, port,
                        error == EAI_SYSTEM ? strerror(errno) : gai_strerror(error));
    for (item = list; item != NULL && count < max; item = item->ai_next) {
        if (item->ai_family != AF_INET && item->ai_family != AF_INET6)
            continue;
        addrs_out[count] = (epx_addr){.bytes = item->ai_addrlen};
        memcpy(&addrs_out[count].sa, item->ai_addr, item->ai_addrlen);
        count++;
    }
    freeaddrinfo(list);
    if (count == 0)
        return epx_fail(EPX_ERR_SYSTEM, "\"%s\" (port %u) has no IPv4 or IPv6 address", host, port);
    *count_out = count;
    return EPX_OK;
}

epx_status epx_addr_resolve(const char *host, uint16_t port, epx_addr *addrs_out, int max,
                            int *count_out)
{
    return resolve(host, 0, port, addrs_out, max, count_out);
}

epx_status epx_addr_parse(const char *number, epx_addr *addr_out)
{
    int count;

    return resolve(number, AI_NUMERICHOST, 0, addr_out, 1, &count);
}

void epx_addr_set_port(epx_addr *addr, uint16_t port)
{
    if (addr->sa.ss_family == AF_INET6)
        ((struct sockaddr_in6 *)&addr->sa)->sin6_port = htons(port);
    else
        ((struct sockaddr_in *)&addr->sa)->sin_port = htons(port);
}

uint16_t epx_addr_port(const epx_addr *addr)
{
    if (addr->sa.ss_family == AF_INET6)
        return ntohs(((const struct sockaddr_in6 *)&addr->sa)->sin6_port);
    return ntohs(((const struct sockaddr_in *)&addr->sa)->sin_port);
}

bool epx_addr_same_host(const epx_addr *a, const epx_addr *b)
{
    if (a->sa.ss_family != b->sa.ss_family)
        return false;
    if (a->sa.ss_family == AF_INET6)
        return memcmp(&((const struct sockaddr_in6 *)&a->sa)->sin6_addr,
                      &((const struct sockaddr_in6 *)&b->sa)->sin6_addr,
                      sizeof(struct in6_addr)) == 0;
    return ((const struct sockaddr_in *)&a->sa)->sin_addr.s_addr ==
           ((const struct sockaddr_in *)&b->sa)->sin_addr.s_addr;
}

void epx_addr_number(const epx_addr *addr, char *text, size_t size)
{
    if (getnameinfo((const struct sockaddr *)&addr->sa, addr->bytes, text, (socklen_t)size, NULL, 0,
                    NI_NUMERICHOST) != 0)
        snprintf(text, size, "?");
}

void epx_addr_text(const epx_addr *addr, char *text, size_t size)
{
    char number[EPX_ADDR_TEXT];

    epx_addr_number(addr, number, sizeof(number));
    snprintf(text, size, addr->sa.ss_family == AF_INET6 ? "[%s]:%u" : "%s:%u", number,
             epx_addr_port(addr));
}

void epx_addr_peer_text(int fd, char *text, size_t size)
{
    epx_addr addr = {.bytes = sizeof(addr.sa)};

    if (getpeername(fd, (struct sockaddr *)&addr.sa, &addr.bytes) == 0)
        epx_addr_text(&addr, text, size);
    else
        snprintf(text, size, "?");
}

epx_status epx_addr_of_socket(int fd, epx_addr *addr_out)
{
    epx_addr addr = {.bytes = sizeof(addr.sa)};

    if (getsockname(fd, (struct sockaddr *)&addr.sa, &addr.bytes) != 0)
        return epx_fail(EPX_ERR_SYSTEM, "getsockname: %s", strerror(errno));
    *addr_out = addr;
    return EPX_OK;
}

epx_status epx_addr_listen(const epx_addr *addr, int *fd_out, bool *in_use_out)
{
    int one = 1, error;
    char text[EPX_ADDR_TEXT];
    int fd = socket(addr->sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    *in_use_out = false;
    epx_addr_text(addr, text, sizeof(text));
    if (fd < 0)
        return epx_fail(EPX_ERR_SYSTEM, "socket for %s: %s", text, strerror(errno));
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)); /* a dead job's TIME_WAIT */
    if (addr->sa.ss_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
    if (bind(fd, (const struct sockaddr *)&addr->sa, addr->bytes) != 0 ||
        listen(fd, SOMAXCONN) != 0) {
        error = errno;
        close(fd);
        *in_use_out = error == EADDRINUSE || error == EACCES;
        return epx_fail(EPX_ERR_SYSTEM, "cannot listen on %s: %s", text, strerror(error));
    }
    *fd_out = fd;
    return EPX_OK;
}

static int finish_connect(int fd, uint64_t until_ns)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    socklen_t bytes = sizeof(int);
    int error = 0;

    for (;;) {
        uint64_t now = epx_clock_ns();

        if (now >= until_ns)
            return ETIMEDOUT;
        if (poll(&p, 1, epx_deadline_left_ms(until_ns, now, 1000)) > 0)
            break;
    }
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &bytes) != 0)
        return errno;
    return error;
}

epx_status epx_addr_connect(const epx_addr *addr, uint64_t until_ns, int *fd_out)
{
    char text[EPX_ADDR_TEXT];
    int error = 0, fd = socket(addr->sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    epx_addr_text(addr, text, sizeof(text));
    if (fd < 0)
        return epx_fail(errno == EAFNOSUPPORT ? EPX_ERR_PEER_LOST : EPX_ERR_SYSTEM,
                        "socket for %s: %s", text, strerror(errno));
    if (connect(fd, (const struct sockaddr *)&addr->sa, addr->bytes) != 0) {
        error = errno;
        if (error == EINPROGRESS || error == EINTR)
            error = finish_connect(fd, until_ns);
    }
    if (error != 0) {
        close(fd);
        return epx_fail(error == ETIMEDOUT ? EPX_ERR_TIMEOUT : EPX_ERR_PEER_LOST,
                        "cannot connect to %s: %s", text, strerror(error));
    }
    epx_addr_tune(fd);
    *fd_out = fd;
    return EPX_OK;
}

static void set_option(int fd, int level, int option, int value)
{
    setsockopt(fd, level, option, &value, sizeof(value)); /* without it things still work */
}

void epx_addr_tune(int fd)
{
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEP_IDLE_S);
    set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEP_INTERVAL_S);
    set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEP_PROBES);
    set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, SEND_LIMIT_MS);
}
