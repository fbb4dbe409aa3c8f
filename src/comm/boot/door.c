/* door.c - slots of half-proved connections, each a small state machine. */
#include "comm/boot/door.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "comm/boot/bytes.h"
#include "comm/boot/message.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"

#define SLOT_IN 512
#define SLOT_OUT 512
#define LOG_EVERY_NS (60 * 1000 * EPX_NS_PER_MS)
#define ACCEPT_BATCH 64
#define LISTENER EPX_DOOR_SLOTS /* its number in epoll events */

typedef struct door_slot {
    epx_conn conn;     /* fd -1: free */
    uint64_t since_ns; /* accepted */
    bool greeted;      /* hello read, challenge sent */
    epx_claim claim;
    uint8_t hello[EPX_HELLO_BYTES];
    uint8_t challenge[EPX_CHALLENGE_BYTES];
} door_slot;

struct epx_door {
    const epx_ident *host; /* borrows */
    int listen_fd;         /* borrows */
    int epoll_fd;          /* owns */
    uint64_t strangers;
    uint64_t logged_ns;
    door_slot slots[EPX_DOOR_SLOTS];
    uint8_t buffers[EPX_DOOR_SLOTS][SLOT_IN + SLOT_OUT];
};

static epx_status watch(const epx_door *door, int fd, uint32_t number)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = number};

    if (epoll_ctl(door->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
        return epx_fail(EPX_ERR_SYSTEM, "epoll_ctl: %s", strerror(errno));
    return EPX_OK;
}

epx_status epx_door_open(int listen_fd, const epx_ident *host, epx_door **door_out)
{
    epx_door *door = epx_mem_alloc("boot door", 1, sizeof(*door));
    epx_status st;
    int i;

    if (door == NULL)
        return EPX_ERR_NO_MEMORY;
    door->host = host;
    door->listen_fd = listen_fd;
    for (i = 0; i < EPX_DOOR_SLOTS; i++)
        epx_conn_init(&door->slots[i].conn, -1, door->buffers[i], SLOT_IN, SLOT_OUT);
    door->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (door->epoll_fd < 0) {
        st = epx_fail(EPX_ERR_SYSTEM, "epoll_create1: %s", strerror(errno));
        goto err_free;
    }
    st = watch(door, listen_fd, LISTENER);
    if (st != EPX_OK)
        goto err_close;
    *door_out = door;
    return EPX_OK;

err_close:
    close(door->epoll_fd);
err_free:
    epx_mem_free(door);
    return st;
}

void epx_door_close(epx_door *door)
{
    int i;

    if (door == NULL)
        return;
    for (i = 0; i < EPX_DOOR_SLOTS; i++)
        epx_conn_close(&door->slots[i].conn);
    close(door->epoll_fd);
    epx_mem_free(door);
}

int epx_door_fd(const epx_door *door)
{
    return door->epoll_fd;
}

uint64_t epx_door_expiry(const epx_door *door)
{
    uint64_t first = EPX_NEVER;
    int i;

    for (i = 0; i < EPX_DOOR_SLOTS; i++)
        if (door->slots[i].conn.fd >= 0 && door->slots[i].since_ns < first)
            first = door->slots[i].since_ns;
    return epx_deadline(first, EPX_DOOR_PATIENCE_MS);
}

static void drop_stranger(epx_door *door, door_slot *slot, const char *why)
{
    uint64_t now = epx_clock_ns();
    char from[EPX_ADDR_TEXT];

    door->strangers++;
    if (door->logged_ns == 0 || now - door->logged_ns > LOG_EVERY_NS) {
        door->logged_ns = now;
        epx_addr_peer_text(slot->conn.fd, from, sizeof(from));
        epx_log(EPX_LOG_WARN, "authentication: refused a connection from %s: %s (%llu so far)",
                from, why, (unsigned long long)door->strangers);
    }
    epx_conn_close(&slot->conn);
}

/* A free slot, or that of the longest silent stranger, or of the oldest. */
static door_slot *make_room(epx_door *door)
{
    door_slot *silent = NULL, *oldest = NULL;
    int i;

    for (i = 0; i < EPX_DOOR_SLOTS; i++) {
        door_slot *slot = &door->slots[i];

        if (slot->conn.fd < 0)
            return slot;
        if (oldest == NULL || slot->since_ns < oldest->since_ns)
            oldest = slot;
        if (!slot->greeted && (silent == NULL || slot->since_ns < silent->since_ns))
            silent = slot;
    }
    if (silent == NULL)
        silent = oldest;
    drop_stranger(door, silent, "too many at once");
    return silent;
}

static epx_status accept_one(epx_door *door, door_slot **slot_out)
{
    int fd = accept4(door->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    door_slot *slot;
    epx_status st;

    *slot_out = NULL;
    if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS))
        return epx_fail(EPX_ERR_SYSTEM, "cannot accept connections of other ranks: %s",
                        strerror(errno));
    if (fd < 0)
        return EPX_OK; /* nobody, or gone again */
    slot = make_room(door);
    epx_conn_init(&slot->conn, fd, door->buffers[slot - door->slots], SLOT_IN, SLOT_OUT);
    slot->since_ns = epx_clock_ns();
    slot->greeted = false;
    st = watch(door, fd, (uint32_t)(slot - door->slots));
    if (st != EPX_OK) {
        epx_conn_close(&slot->conn);
        return st;
    }
    *slot_out = slot;
    return EPX_OK;
}

static void refuse(epx_door *door, door_slot *slot)
{
    uint8_t keyed[4];

    epx_put_u32(keyed, door->host->claim.keyed ? 1 : 0);
    if (epx_conn_put(&slot->conn, EPX_MSG_REFUSE, keyed, sizeof(keyed)))
        epx_conn_flush(&slot->conn);
    drop_stranger(door, slot, epx_last_error());
}

/* Takes the frame; true when the connection has proved itself. */
static bool advance(epx_door *door, door_slot *slot, const epx_boot_frame *frame)
{
    if (slot->greeted) {
        if (epx_proof_good(door->host, slot->hello, slot->challenge, frame))
            return true;
        drop_stranger(door, slot, "no proof of the job key");
        return false;
    }
    if (epx_hello_read(door->host, frame, &slot->claim) != EPX_OK) {
        refuse(door, slot);
        return false;
    }
    memcpy(slot->hello, frame->payload, EPX_HELLO_BYTES);
    epx_challenge_make(door->host, slot->hello, slot->challenge);
    slot->greeted = true;
    if (!epx_conn_put(&slot->conn, EPX_MSG_CHALLENGE, slot->challenge, EPX_CHALLENGE_BYTES))
        drop_stranger(door, slot, "no room for a challenge");
    else
        epx_conn_flush(&slot->conn);
    return false;
}

/* Moves one slot on; true when *guest_out has been let in. */
static bool serve(epx_door *door, door_slot *slot, epx_guest *guest_out)
{
    epx_boot_frame frame;

    if (slot->conn.fd < 0)
        return false;
    epx_conn_fill(&slot->conn);
    while (slot->conn.fd >= 0) {
        epx_boot_frame_result result =
            epx_conn_next(&slot->conn, SLOT_IN - EPX_BOOT_FRAME_HEAD, &frame);

        if (result == EPX_BOOT_FRAME_BAD) {
            drop_stranger(door, slot, epx_last_error());
        } else if (result == EPX_BOOT_FRAME_MORE) {
            if (slot->conn.ended && slot->greeted)
                epx_conn_close(&slot->conn); /* one of us that came too early and tries again */
            else if (slot->conn.ended)
                drop_stranger(door, slot, "closed before it proved itself");
            return false;
        } else if (advance(door, slot, &frame)) {
            epoll_ctl(door->epoll_fd, EPOLL_CTL_DEL, slot->conn.fd, NULL);
            epx_addr_tune(slot->conn.fd); /* strangers are not worth these calls */
            guest_out->claim = slot->claim;
            guest_out->conn = &slot->conn;
            epx_addr_peer_text(slot->conn.fd, guest_out->from, sizeof(guest_out->from));
            return true;
        }
    }
    return false;
}

static void expire(epx_door *door)
{
    uint64_t now = epx_clock_ns();
    int i;

    for (i = 0; i < EPX_DOOR_SLOTS; i++) {
        door_slot *slot = &door->slots[i];

        if (slot->conn.fd >= 0 && now >= epx_deadline(slot->since_ns, EPX_DOOR_PATIENCE_MS))
            drop_stranger(door, slot, slot->greeted ? "no proof in time" : "silent");
    }
}

static epx_status accept_batch(epx_door *door, epx_guest *guest_out, bool *came_out)
{
    door_slot *slot;
    int i;

    for (i = 0; i < ACCEPT_BATCH; i++) {
        epx_status st = accept_one(door, &slot);

        if (st != EPX_OK || slot == NULL)
            return st;
        if (serve(door, slot, guest_out)) {
            *came_out = true;
            return EPX_OK;
        }
    }
    return EPX_OK;
}

epx_status epx_door_step(epx_door *door, epx_guest *guest_out, bool *came_out)
{
    struct epoll_event events[EPX_DOOR_SLOTS + 1];
    bool knocking = false;
    int i, count;

    *came_out = false;
    count = epoll_wait(door->epoll_fd, events, EPX_DOOR_SLOTS + 1, 0);
    for (i = 0; i < count; i++) {
        if (events[i].data.u32 == LISTENER)
            knocking = true;
        else if (serve(door, &door->slots[events[i].data.u32], guest_out)) {
            *came_out = true;
            return EPX_OK;
        }
    }
    expire(door);
    return knocking ? accept_batch(door, guest_out, came_out) : EPX_OK;
}
