/* mesh.c - passing descriptors between neighbours.
 *
 * A message is one packet: magic, count, tag, with the descriptors attached. One with another tag
 * than the one asked for is put aside; what nobody ever asks for (left over from an opening that
 * failed) makes room when the stash is full, and is closed with the mesh. */
#include "comm/boot/mesh.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "comm/boot/bytes.h"
#include "comm/boot/mesh_peers.h"
#include "core/clock.h"
#include "core/mem.h"

#define PARCEL_MAGIC 0x6c637270u
#define PARCEL_BYTES 16

static void close_fds(int *fds, int count)
{
    int i;

    for (i = 0; i < count; i++)
        close(fds[i]);
}

void epx_mesh_close(epx_mesh *mesh)
{
    int32_t i;

    if (mesh == NULL)
        return;
    for (i = 0; i < EPX_MESH_STASH; i++)
        close_fds(mesh->stash[i].fds, mesh->stash[i].count);
    for (i = 0; mesh->peers != NULL && i < mesh->size; i++)
        if (mesh->peers[i].fd >= 0)
            close(mesh->peers[i].fd);
    epx_mem_free(mesh->peers);
    epx_mem_free(mesh);
}

int epx_mesh_fd(const epx_mesh *mesh, int32_t rank)
{
    if (rank < 0 || rank >= mesh->size || mesh->peers[rank].lost)
        return -1;
    return mesh->peers[rank].fd;
}

bool epx_mesh_lost(epx_mesh *mesh, int32_t rank)
{
    struct pollfd p = {.events = POLLRDHUP};
    epx_mesh_peer *peer;

    if (rank < 0 || rank >= mesh->size)
        return false;
    peer = &mesh->peers[rank];
    p.fd = peer->fd;
    if (!peer->lost && peer->fd >= 0 && poll(&p, 1, 0) > 0)
        peer->lost = true;
    return peer->lost;
}

/* Waits until the socket is ready for `events`. */
static epx_status await(epx_mesh *mesh, int32_t rank, short events, uint64_t until_ns)
{
    struct pollfd p = {.fd = mesh->peers[rank].fd, .events = events};

    for (;;) {
        uint64_t now = epx_clock_ns();

        if (now >= until_ns)
            return epx_fail(EPX_ERR_TIMEOUT, "rank %d did not %s descriptors in time", rank,
                            events == POLLIN ? "send" : "take");
        if (poll(&p, 1, epx_deadline_left_ms(until_ns, now, 1000)) > 0)
            return EPX_OK;
    }
}

static epx_status check(const epx_mesh *mesh, int32_t rank, int count)
{
    if (count < 1 || count > EPX_MESH_MAX_FDS)
        return epx_fail(EPX_ERR_INVALID, "%d descriptors at once, expected 1 to %d", count,
                        EPX_MESH_MAX_FDS);
    if (epx_mesh_fd(mesh, rank) < 0)
        return epx_fail(EPX_ERR_PEER_LOST, "no Unix socket to rank %d", rank);
    return EPX_OK;
}

static epx_status gone(epx_mesh *mesh, int32_t rank, const char *why)
{
    mesh->peers[rank].lost = true;
    return epx_fail(EPX_ERR_PEER_LOST, "rank %d: its Unix socket has ended: %s", rank, why);
}

/* ---- sending --------------------------------------------------------------------------------- */

typedef union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int) * EPX_MESH_MAX_FDS)];
} control;

static void attach(struct msghdr *message, control *space, const int *fds, int count)
{
    size_t bytes = sizeof(int) * (size_t)count;
    struct cmsghdr *head;

    memset(space, 0, sizeof(*space));
    message->msg_control = space->bytes;
    message->msg_controllen = CMSG_SPACE(bytes);
    head = CMSG_FIRSTHDR(message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(bytes);
    memcpy(CMSG_DATA(head), fds, bytes);
}

epx_status epx_mesh_send_fds(epx_mesh *mesh, int32_t rank, uint64_t tag, const int *fds, int count,
                             uint64_t until_ns)
{
    uint8_t parcel[PARCEL_BYTES];
    struct iovec part = {.iov_base = parcel, .iov_len = sizeof(parcel)};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    control space;
    epx_status st = check(mesh, rank, count);

    if (st != EPX_OK)
        return st;
    epx_put_u64(epx_put_u32(epx_put_u32(parcel, PARCEL_MAGIC), (uint32_t)count), tag);
    attach(&message, &space, fds, count);
    while (sendmsg(mesh->peers[rank].fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
        if (errno == EINTR)
            continue;
        if (errno == EPIPE || errno == ECONNRESET)
            return gone(mesh, rank, strerror(errno));
        if (errno != EAGAIN)
            return epx_fail(EPX_ERR_SYSTEM, "passing %d descriptors to rank %d: %s", count, rank,
                            strerror(errno));
        st = await(mesh, rank, POLLOUT, until_ns);
        if (st != EPX_OK)
            return st;
    }
    return EPX_OK;
}

/* ---- receiving ------------------------------------------------------------------------------- */

static epx_mesh_parcel *find_parcel(epx_mesh *mesh, int32_t rank, uint64_t tag)
{
    epx_mesh_parcel *found = NULL;
    int i;

    for (i = 0; i < EPX_MESH_STASH; i++) {
        epx_mesh_parcel *parcel = &mesh->stash[i];

        if (parcel->count == 0 || parcel->rank != rank || parcel->tag != tag)
            continue;
        if (found == NULL || parcel->number < found->number)
            found = parcel;
    }
    return found;
}

/* A free place; the oldest parcel gives way. */
static void put_aside(epx_mesh *mesh, const epx_mesh_parcel *parcel)
{
    epx_mesh_parcel *place = &mesh->stash[0];
    int i;

    for (i = 0; i < EPX_MESH_STASH && place->count != 0; i++)
        if (mesh->stash[i].count == 0 || mesh->stash[i].number < place->number)
            place = &mesh->stash[i];
    close_fds(place->fds, place->count);
    *place = *parcel;
    place->number = mesh->arrivals++;
}

/* All descriptors that came with the message, at most EPX_MESH_MAX_FDS. */
static int detach(struct msghdr *message, int *fds)
{
    struct cmsghdr *head;
    int count = 0;

    for (head = CMSG_FIRSTHDR(message); head != NULL; head = CMSG_NXTHDR(message, head)) {
        size_t bytes = head->cmsg_len - CMSG_LEN(0);

        if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS)
            continue;
        memcpy(fds, CMSG_DATA(head), bytes); /* space was for no more */
        count = (int)(bytes / sizeof(int));
    }
    return count;
}

static epx_status receive(epx_mesh *mesh, int32_t rank, epx_mesh_parcel *parcel_out)
{
    uint8_t bytes[PARCEL_BYTES];
    struct iovec part = {.iov_base = bytes, .iov_len = sizeof(bytes)};
    control space;
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = space.bytes,
                             .msg_controllen = sizeof(space.bytes)};
    epx_mesh_parcel parcel = {.rank = rank};
    uint32_t magic = 0, count = 0;
    ssize_t n;

    memset(bytes, 0, sizeof(bytes));
    n = recvmsg(mesh->peers[rank].fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return EPX_OK;
    if (n <= 0)
        return gone(mesh, rank, n == 0 ? "closed" : strerror(errno));
    parcel.count = detach(&message, parcel.fds);
    epx_get_u64(epx_get_u32(epx_get_u32(bytes, &magic), &count), &parcel.tag);
    if (n == PARCEL_BYTES && magic == PARCEL_MAGIC && count == (uint32_t)parcel.count &&
        (message.msg_flags & (MSG_CTRUNC | MSG_TRUNC)) == 0 && count > 0) {
        *parcel_out = parcel;
        return EPX_OK;
    }
    close_fds(parcel.fds, parcel.count);
    if ((message.msg_flags & MSG_CTRUNC) != 0)
        return epx_fail(EPX_ERR_SYSTEM, "rank %d passed %u descriptors, this process could take %d",
                        rank, count, parcel.count);
    return epx_fail(EPX_ERR_CORRUPT,
                    "rank %d sent %zd bytes with %d descriptors: no message of ours", rank, n,
                    parcel.count);
}

static epx_status await_parcel(epx_mesh *mesh, int32_t rank, uint64_t tag, uint64_t until_ns,
                               epx_mesh_parcel *parcel_out)
{
    for (;;) {
        epx_mesh_parcel parcel = {.count = 0};
        epx_status st = receive(mesh, rank, &parcel);

        if (st == EPX_OK && parcel.count == 0)
            st = await(mesh, rank, POLLIN, until_ns);
        if (st != EPX_OK)
            return st;
        if (parcel.count != 0 && parcel.tag == tag) {
            *parcel_out = parcel;
            return EPX_OK;
        }
        if (parcel.count != 0)
            put_aside(mesh, &parcel);
    }
}

epx_status epx_mesh_recv_fds(epx_mesh *mesh, int32_t rank, uint64_t tag, int *fds, int count,
                             uint64_t until_ns)
{
    epx_mesh_parcel *stashed = find_parcel(mesh, rank, tag), parcel;
    epx_status st = EPX_OK;

    if (stashed != NULL) {
        parcel = *stashed;
        stashed->count = 0;
    } else {
        st = check(mesh, rank, count);
        if (st == EPX_OK)
            st = await_parcel(mesh, rank, tag, until_ns, &parcel);
    }
    if (st != EPX_OK)
        return st;
    if (parcel.count != count) {
        close_fds(parcel.fds, parcel.count);
        return epx_fail(EPX_ERR_MISMATCH, "rank %d passed %d descriptors, expected %d", rank,
                        parcel.count, count);
    }
    memcpy(fds, parcel.fds, sizeof(int) * (size_t)count);
    return EPX_OK;
}
