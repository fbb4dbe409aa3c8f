/* mesh_knock.c - knocking, hearing knocks, answering. Nothing here waits.
 *
 * Whoever else connects to our name learns nothing and is dropped; one that stays silent makes room
 * when there are too many. */
#include "comm/boot/mesh_knock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "comm/boot/auth.h"
#include "comm/boot/bytes.h"
#include "core/clock.h"
#include "core/log.h"

#define KNOCK_MAGIC 0x6b636e6bu
#define KNOCK_HEAD 12 /* magic, from, to */
#define KNOCK_BYTES (KNOCK_HEAD + EPX_MAC_BYTES)
#define PATIENCE_NS (100 * EPX_NS_PER_MS) /* with a silent connection, when room is short */

static const uint8_t *name_of(const epx_meshing *m, int32_t rank)
{
    return m->cards + (size_t)rank * EPX_MESH_CARD + 4;
}

static socklen_t unix_address(const uint8_t name[EPX_MESH_NAME], struct sockaddr_un *address)
{
    int i, n = 4;

    memset(address, 0, sizeof(*address));
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path, "\0epx", 4); /* the leading zero: no file */
    for (i = 0; i < EPX_MESH_NAME; i++)
        n += snprintf(address->sun_path + n, 3, "%02x", name[i]);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)n);
}

static bool same_user(int fd)
{
    struct ucred theirs;
    socklen_t bytes = sizeof(theirs);

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &theirs, &bytes) == 0 && theirs.uid == geteuid();
}

/* The proof of one side of the pair from -> to. */
static void prove(const epx_meshing *m, const char *label, int32_t from, int32_t to,
                  uint8_t mac_out[EPX_MAC_BYTES])
{
    uint8_t ranks[8], names[2 * EPX_MESH_NAME];

    epx_put_u32(epx_put_u32(ranks, (uint32_t)from), (uint32_t)to);
    epx_put_raw(epx_put_raw(names, name_of(m, from), EPX_MESH_NAME), name_of(m, to), EPX_MESH_NAME);
    epx_auth_mac(m->boot->key, label, ranks, sizeof(ranks), names, sizeof(names), mac_out);
}

epx_status epx_mesh_listen(epx_meshing *m, const uint8_t name[EPX_MESH_NAME])
{
    struct sockaddr_un address;
    socklen_t bytes = unix_address(name, &address);

    m->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (m->listen_fd < 0)
        return epx_fail(EPX_ERR_SYSTEM, "Unix socket: %s", strerror(errno));
    if (bind(m->listen_fd, (const struct sockaddr *)&address, bytes) != 0 ||
        listen(m->listen_fd, SOMAXCONN) != 0)
        return epx_fail(EPX_ERR_SYSTEM, "listening on a Unix socket: %s", strerror(errno));
    return EPX_OK;
}

/* ---- knocks of lower ranks ------------------------------------------------------------------- */

static void answer(const epx_meshing *m, int fd, int32_t from)
{
    uint8_t mac[EPX_MAC_BYTES];

    prove(m, "epx mesh answer", from, m->boot->rank, mac);
    if (send(fd, mac, sizeof(mac), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        epx_log(EPX_LOG_DEBUG, "mesh: rank %d is gone already", from); /* noticed by its end */
}

/* The sender of a good knock, or -1. */
static int32_t read_knock(const epx_meshing *m, const uint8_t *bytes, ssize_t n)
{
    uint8_t mac[EPX_MAC_BYTES];
    uint32_t magic;
    int32_t from, to;

    if (n != KNOCK_BYTES)
        return -1;
    epx_get_i32(epx_get_i32(epx_get_u32(bytes, &magic), &from), &to);
    if (magic != KNOCK_MAGIC || to != m->boot->rank || from < 0 || from >= to)
        return -1;
    prove(m, "epx mesh knock", from, to, mac);
    return epx_auth_equal(mac, bytes + KNOCK_HEAD) ? from : -1;
}

/* Hears one accepted connection; true when it needs no waiting any more. */
static bool hear_knock(epx_meshing *m, int fd)
{
    uint8_t bytes[KNOCK_BYTES + 1];
    ssize_t n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    int32_t from;

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    from = read_knock(m, bytes, n);
    if (from < 0 || m->pairs[from] == EPX_PAIR_DONE) {
        epx_log(EPX_LOG_DEBUG, "mesh: a stranger knocked");
        close(fd);
        return true;
    }
    answer(m, fd, from);
    m->mesh->peers[from].fd = fd;
    m->pairs[from] = EPX_PAIR_DONE;
    return true;
}

static void hear_knocks(epx_meshing *m)
{
    int i, kept = 0;

    for (i = 0; i < m->num_waiting; i++)
        if (!hear_knock(m, m->waiting[i].fd))
            m->waiting[kept++] = m->waiting[i];
    m->num_waiting = kept;
}

/* Room for one more: a neighbour speaks as soon as it has connected, so one that has been silent
 * for long may go. False: those in the queue have to wait. */
static bool make_room(epx_meshing *m)
{
    if (m->num_waiting < m->waiting_room)
        return true;
    if (epx_clock_ns() - m->waiting[0].since_ns < PATIENCE_NS)
        return false;
    close(m->waiting[0].fd);
    memmove(m->waiting, m->waiting + 1, sizeof(*m->waiting) * (size_t)--m->num_waiting);
    return true;
}

/* Users that are not ours are turned away at once: none of our ranks would have connected, for it
 * would have seen the same difference. */
static void accept_knocks(epx_meshing *m)
{
    while (m->listen_fd >= 0 && make_room(m)) {
        int fd = accept4(m->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd < 0)
            return;
        if (!same_user(fd))
            close(fd);
        else if (!hear_knock(m, fd))
            m->waiting[m->num_waiting++] = (epx_silent){.fd = fd, .since_ns = epx_clock_ns()};
    }
}

/* ---- knocking at higher ranks ---------------------------------------------------------------- */

/* Connects; false when that is not possible now (EAGAIN) or ever. */
static bool reach(const epx_meshing *m, int fd, int32_t to)
{
    struct sockaddr_un address;
    socklen_t length = unix_address(name_of(m, to), &address);

    return fd >= 0 && connect(fd, (const struct sockaddr *)&address, length) == 0;
}

void epx_mesh_knock(epx_meshing *m, int32_t to)
{
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    uint8_t bytes[KNOCK_BYTES], *p = epx_put_u32(bytes, KNOCK_MAGIC);
    bool later = false;

    p = epx_put_u32(epx_put_u32(p, (uint32_t)m->boot->rank), (uint32_t)to);
    prove(m, "epx mesh knock", m->boot->rank, to, p);
    if (!reach(m, fd, to)) {
        later = fd >= 0 && errno == EAGAIN;
    } else if (same_user(fd) && send(fd, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_NOSIGNAL) ==
                                    (ssize_t)sizeof(bytes)) {
        m->mesh->peers[to].fd = fd;
        m->pairs[to] = EPX_PAIR_KNOCKED;
        m->row[to / 8] |= (uint8_t)(1u << to % 8);
        return;
    }
    if (fd >= 0)
        close(fd);
    if (later)
        return;
    epx_log(EPX_LOG_DEBUG, "mesh: rank %d is out of reach", to);
    m->pairs[to] = EPX_PAIR_NONE;
}

static epx_status hear_answer(epx_meshing *m, int32_t to)
{
    uint8_t bytes[EPX_MAC_BYTES + 1], mac[EPX_MAC_BYTES];
    ssize_t n = recv(m->mesh->peers[to].fd, bytes, sizeof(bytes), MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return EPX_OK;
    if (n <= 0)
        return epx_fail(EPX_ERR_PEER_LOST, "lost rank %d while connecting Unix sockets", to);
    prove(m, "epx mesh answer", m->boot->rank, to, mac);
    if (n != EPX_MAC_BYTES || !epx_auth_equal(mac, bytes))
        return epx_fail(EPX_ERR_AUTH, "rank %d's Unix socket did not prove the job key", to);
    m->pairs[to] = EPX_PAIR_DONE;
    return EPX_OK;
}

static epx_status hear_answers(epx_meshing *m)
{
    epx_status st = EPX_OK;
    int32_t i;

    for (i = m->boot->rank + 1; i < m->boot->size && st == EPX_OK; i++)
        if (m->pairs[i] == EPX_PAIR_KNOCKED)
            st = hear_answer(m, i);
    return st;
}

epx_status epx_mesh_hear(epx_meshing *m)
{
    accept_knocks(m);
    hear_knocks(m);
    return hear_answers(m);
}
