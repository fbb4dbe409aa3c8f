/* mesh.c - see mesh.h. The higher rank of a pair dials, the lower one listens.
 *
 * Names are random and travel over the authenticated boot, so both proofs are fresh: the dialler's
 * is bound to the listener's name, the answer to the dialler's nonce. A gather of who has dialled
 * whom lets both sides of a pair agree on whether they are connected, without waiting for ranks
 * that cannot reach this one. */
#include "comm/boot/mesh.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "comm/boot/auth.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"

#define NAME_BYTES 24

struct epx_mesh {
    epx_boot *boot; /* borrowed */
    int listener;
    int32_t size;
    int *fds; /* [size] owns; -1: none */
    uint8_t name[NAME_BYTES];
};

typedef struct hello {
    int32_t from, to;
    uint8_t nonce[EPX_NONCE_BYTES];
    uint8_t proof[EPX_MAC_BYTES];
} hello;

typedef struct fd_note {
    uint64_t tag;
    uint64_t count;
} fd_note;

static socklen_t address_of(const uint8_t name[NAME_BYTES], struct sockaddr_un *address)
{
    memset(address, 0, sizeof(*address));
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path + 1, name, NAME_BYTES); /* a leading zero: abstract */
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + NAME_BYTES);
}

static void prove(const epx_mesh *mesh, const char *label, const hello *h,
                  const uint8_t name[NAME_BYTES], uint8_t proof_out[EPX_MAC_BYTES])
{
    epx_auth_mac(mesh->boot->key, label, h, offsetof(hello, proof), name, NAME_BYTES, proof_out);
}

static bool wait_for(int fd, short events, uint64_t until_ns)
{
    struct pollfd p = {.fd = fd, .events = events};
    int n;

    do {
        n = poll(&p, 1, epx_deadline_left_ms(until_ns, epx_clock_ns(), 1000));
    } while ((n < 0 && errno == EINTR) || (n == 0 && epx_clock_ns() < until_ns));
    return n > 0;
}

static epx_status listen_here(epx_mesh *mesh)
{
    struct sockaddr_un address;
    socklen_t length;

    epx_auth_random(mesh->name, sizeof(mesh->name));
    length = address_of(mesh->name, &address);
    mesh->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (mesh->listener < 0 || bind(mesh->listener, (const struct sockaddr *)&address, length) < 0 ||
        listen(mesh->listener, 4096) < 0)
        return epx_fail(EPX_ERR_SYSTEM, "Unix socket of rank %d: %s", mesh->boot->rank,
                        strerror(errno));
    return EPX_OK;
}

/* True when the peer listens here and has our first word; its answer comes later. */
static bool dial(epx_mesh *mesh, int32_t rank, const uint8_t name[NAME_BYTES], hello *h)
{
    struct sockaddr_un address;
    socklen_t length = address_of(name, &address);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return false;
    memset(h, 0, sizeof(*h));
    h->from = mesh->boot->rank;
    h->to = rank;
    epx_auth_random(h->nonce, sizeof(h->nonce));
    prove(mesh, "epx mesh dial", h, name, h->proof);
    if (connect(fd, (const struct sockaddr *)&address, length) < 0 ||
        send(fd, h, sizeof(*h), MSG_NOSIGNAL) != (ssize_t)sizeof(*h)) {
        close(fd);
        return false;
    }
    mesh->fds[rank] = fd;
    return true;
}

static bool same_user(int fd)
{
    struct ucred peer;
    socklen_t length = sizeof(peer);

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 && peer.uid == geteuid();
}

/* One connection from outside; false when it is not one of us. */
static bool admit(epx_mesh *mesh, int fd, uint64_t until_ns)
{
    uint8_t proof[EPX_MAC_BYTES];
    hello h;

    if (!same_user(fd) || !wait_for(fd, POLLIN, until_ns) ||
        recv(fd, &h, sizeof(h), MSG_DONTWAIT) != (ssize_t)sizeof(h))
        return false;
    prove(mesh, "epx mesh dial", &h, mesh->name, proof);
    if (!epx_auth_equal(proof, h.proof) || h.to != mesh->boot->rank || h.from <= h.to ||
        h.from >= mesh->size || mesh->fds[h.from] >= 0)
        return false;
    prove(mesh, "epx mesh answer", &h, mesh->name, proof);
    if (send(fd, proof, sizeof(proof), MSG_NOSIGNAL) != (ssize_t)sizeof(proof))
        return false;
    mesh->fds[h.from] = fd;
    return true;
}

static epx_status accept_all(epx_mesh *mesh, int32_t expected, uint64_t until_ns)
{
    while (expected > 0) {
        uint64_t soon;
        int fd;

        if (!wait_for(mesh->listener, POLLIN, until_ns))
            return epx_fail(EPX_ERR_TIMEOUT, "%d ranks of this host did not connect", expected);
        fd = accept4(mesh->listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            continue;
        soon = epx_deadline(epx_clock_ns(), 1000);
        if (admit(mesh, fd, soon < until_ns ? soon : until_ns)) {
            expected--;
            continue;
        }
        close(fd);
        epx_log(EPX_LOG_INFO, "a stranger on the Unix socket was turned away");
    }
    return EPX_OK;
}

static epx_status check_answer(epx_mesh *mesh, int32_t rank, const hello *h,
                               const uint8_t name[NAME_BYTES], uint64_t until_ns)
{
    uint8_t expected[EPX_MAC_BYTES], got[EPX_MAC_BYTES];

    if (!wait_for(mesh->fds[rank], POLLIN, until_ns) ||
        recv(mesh->fds[rank], got, sizeof(got), MSG_DONTWAIT) != (ssize_t)sizeof(got))
        return epx_fail(EPX_ERR_PEER_LOST, "rank %d did not answer on its Unix socket", rank);
    prove(mesh, "epx mesh answer", h, name, expected);
    if (!epx_auth_equal(expected, got))
        return epx_fail(EPX_ERR_AUTH, "rank %d could not prove the job key on its Unix socket",
                        rank);
    return EPX_OK;
}

static bool contains(const int32_t *ranks, int32_t count, int32_t rank)
{
    int32_t i;

    for (i = 0; i < count && ranks[i] != rank; i++)
        ;
    return i < count;
}

/* Dials all lower candidates, agrees on who reached whom, then finishes both halves. */
static epx_status connect_all(epx_mesh *mesh, const int32_t *candidates, int32_t count,
                              uint32_t timeout_ms, uint8_t *names, hello *hellos, uint8_t *dialled)
{
    uint64_t until_ns = epx_deadline(epx_clock_ns(), timeout_ms);
    int32_t rank, own = mesh->boot->rank, expected = 0;
    uint8_t *mine = dialled + (size_t)mesh->size * (size_t)mesh->size;
    epx_status st = epx_boot_allgather(mesh->boot, mesh->name, NAME_BYTES, names, timeout_ms);

    for (rank = 0; rank < own && st == EPX_OK; rank++)
        if (contains(candidates, count, rank))
            mine[rank] = dial(mesh, rank, names + (size_t)rank * NAME_BYTES, &hellos[rank]);
    if (st == EPX_OK)
        st = epx_boot_allgather(mesh->boot, mine, (size_t)mesh->size, dialled, timeout_ms);
    for (rank = own + 1; rank < mesh->size && st == EPX_OK; rank++)
        expected += dialled[(size_t)rank * (size_t)mesh->size + (size_t)own] != 0;
    if (st == EPX_OK)
        st = accept_all(mesh, expected, until_ns);
    for (rank = 0; rank < own && st == EPX_OK; rank++)
        if (mesh->fds[rank] >= 0)
            st = check_answer(mesh, rank, &hellos[rank], names + (size_t)rank * NAME_BYTES,
                              until_ns);
    return st;
}

static epx_status mesh_new(epx_boot *boot, epx_mesh **mesh_out)
{
    epx_mesh *mesh = epx_mem_alloc("Unix sockets", 1, sizeof(*mesh));

    if (mesh == NULL)
        return EPX_ERR_NO_MEMORY;
    mesh->boot = boot;
    mesh->size = boot->size;
    mesh->listener = -1;
    mesh->fds = epx_mem_alloc("Unix sockets", (size_t)boot->size, sizeof(int));
    if (mesh->fds == NULL) {
        epx_mem_free(mesh);
        return EPX_ERR_NO_MEMORY;
    }
    memset(mesh->fds, 0xff, (size_t)boot->size * sizeof(int));
    *mesh_out = mesh;
    return EPX_OK;
}

epx_status epx_mesh_open(epx_boot *boot, const int32_t *candidates, int32_t count,
                         uint32_t timeout_ms, epx_mesh **mesh_out)
{
    size_t size = (size_t)boot->size;
    uint8_t *names, *dialled;
    hello *hellos;
    epx_mesh *mesh;
    epx_status st = epx_auth_init();

    if (st == EPX_OK)
        st = mesh_new(boot, &mesh);
    if (st != EPX_OK)
        return st;
    names = epx_mem_alloc("Unix socket names", size, NAME_BYTES);
    hellos = epx_mem_alloc("Unix socket handshakes", size, sizeof(*hellos));
    dialled = epx_mem_alloc("Unix socket matrix", size + 1, size);
    st = names != NULL && hellos != NULL && dialled != NULL ? listen_here(mesh) : EPX_ERR_NO_MEMORY;
    if (st == EPX_OK)
        st = connect_all(mesh, candidates, count, timeout_ms, names, hellos, dialled);
    epx_mem_free(names);
    epx_mem_free(hellos);
    epx_mem_free(dialled);
    if (st != EPX_OK) {
        epx_mesh_close(mesh);
        return st;
    }
    close(mesh->listener);
    mesh->listener = -1;
    *mesh_out = mesh;
    return EPX_OK;
}

void epx_mesh_close(epx_mesh *mesh)
{
    int32_t i;

    if (mesh == NULL)
        return;
    for (i = 0; i < mesh->size; i++)
        if (mesh->fds[i] >= 0)
            close(mesh->fds[i]);
    if (mesh->listener >= 0)
        close(mesh->listener);
    epx_mem_free(mesh->fds);
    epx_mem_free(mesh);
}

int epx_mesh_fd(const epx_mesh *mesh, int32_t rank)
{
    return mesh == NULL || rank < 0 || rank >= mesh->size ? -1 : mesh->fds[rank];
}

/* ---- descriptors ---------------------------------------------------------------------------- */

/* Room for EPX_MESH_MAX_FDS descriptors, aligned as control messages want it. */
typedef union control_room {
    struct cmsghdr align;
    unsigned char bytes[CMSG_SPACE(EPX_MESH_MAX_FDS * sizeof(int))];
} control_room;

epx_status epx_mesh_send_fds(epx_mesh *mesh, int32_t rank, uint64_t tag, const int *fds, int count,
                             uint64_t until_ns)
{
    fd_note note = {.tag = tag, .count = (uint64_t)count};
    struct iovec part = {.iov_base = &note, .iov_len = sizeof(note)};
    control_room room = {.bytes = {0}};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    struct cmsghdr *head;
    int fd = epx_mesh_fd(mesh, rank);

    if (fd < 0 || count < 0 || count > EPX_MESH_MAX_FDS)
        return epx_fail(EPX_ERR_INVALID, "%d descriptors for rank %d, which has %s socket", count,
                        rank, fd < 0 ? "no" : "a");
    if (count > 0) {
        message.msg_control = room.bytes;
        message.msg_controllen = CMSG_SPACE((size_t)count * sizeof(int));
        head = CMSG_FIRSTHDR(&message);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN((size_t)count * sizeof(int));
        memcpy(CMSG_DATA(head), fds, (size_t)count * sizeof(int));
    }
    while (sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
        if (errno == EINTR)
            continue;
        if ((errno != EAGAIN && errno != ETOOMANYREFS) || !wait_for(fd, POLLOUT, until_ns))
            return epx_fail(EPX_ERR_PEER_LOST, "descriptors for rank %d: %s", rank,
                            strerror(errno));
    }
    return EPX_OK;
}

/* Takes the descriptors out of a message; extra ones are closed. Returns how many were kept. */
static int unpack(struct msghdr *message, int *fds, int limit)
{
    struct cmsghdr *head;
    int kept = 0;

    for (head = CMSG_FIRSTHDR(message); head != NULL; head = CMSG_NXTHDR(message, head)) {
        size_t n = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int), i;

        if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS)
            continue;
        for (i = 0; i < n; i++) {
            int fd;

            memcpy(&fd, CMSG_DATA(head) + i * sizeof(int), sizeof(int));
            if (kept < limit)
                fds[kept++] = fd;
            else
                close(fd);
        }
    }
    return kept;
}

epx_status epx_mesh_recv_fds(epx_mesh *mesh, int32_t rank, uint64_t tag, int *fds, int count,
                             uint64_t until_ns)
{
    fd_note note = {0};
    struct iovec part = {.iov_base = &note, .iov_len = sizeof(note)};
    control_room room = {.bytes = {0}};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = room.bytes,
                             .msg_controllen = sizeof(room.bytes)};
    int got[EPX_MESH_MAX_FDS], kept, fd = epx_mesh_fd(mesh, rank);
    ssize_t n;

    if (fd < 0 || count < 0 || count > EPX_MESH_MAX_FDS)
        return epx_fail(EPX_ERR_INVALID, "%d descriptors from rank %d, which has %s socket", count,
                        rank, fd < 0 ? "no" : "a");
    if (!wait_for(fd, POLLIN, until_ns))
        return epx_fail(EPX_ERR_TIMEOUT, "no descriptors came from rank %d", rank);
    n = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n <= 0)
        return epx_fail(EPX_ERR_PEER_LOST, "rank %d closed its Unix socket", rank);
    kept = unpack(&message, got, EPX_MESH_MAX_FDS);
    if (n != (ssize_t)sizeof(note) || note.tag != tag || kept != count) {
        while (kept > 0)
            close(got[--kept]);
        return epx_fail(EPX_ERR_MISMATCH,
                        "rank %d passed %d descriptors under tag %llu, expected "
                        "%d under %llu",
                        rank, kept, (unsigned long long)note.tag, count, (unsigned long long)tag);
    }
    memcpy(fds, got, (size_t)count * sizeof(int));
    return EPX_OK;
}

bool epx_mesh_lost(epx_mesh *mesh, int32_t rank)
{
    int fd = epx_mesh_fd(mesh, rank);
    unsigned char byte;
    ssize_t n;

    if (fd < 0)
        return false;
    n = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
}
