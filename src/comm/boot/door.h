/* door.h - rank 0's listener while ranks join: lets in who proves the job key, whoever else knocks.
 *
 * A stranger costs one of 64 slots, at most 1 KiB each and 5 seconds, and one log line a minute for
 * all strangers together. When the slots are full, the longest silent one makes room, so a flood
 * delays nobody. Nothing here blocks. */
#ifndef EPX_COMM_BOOT_DOOR_H
#define EPX_COMM_BOOT_DOOR_H

#include "comm/boot/addr.h"
#include "comm/boot/conn.h"
#include "comm/boot/handshake.h"

#define EPX_DOOR_SLOTS 64
#define EPX_DOOR_PATIENCE_MS 5000

typedef struct epx_door epx_door;

/* Somebody of the job. conn still uses the door's buffer: adopt it before the next step. */
typedef struct epx_guest {
    epx_claim claim;
    epx_conn *conn;
    char from[EPX_ADDR_TEXT];
} epx_guest;

/* Borrows the non-blocking listen_fd and *host. */
EPX_NODISCARD epx_status epx_door_open(int listen_fd, const epx_ident *host, epx_door **door_out);
void epx_door_close(epx_door *door); /* accepts NULL; leaves listen_fd open */

/* Readable when a step has something to do; call one at door_expiry() as well. */
int epx_door_fd(const epx_door *door);
uint64_t epx_door_expiry(const epx_door *door);

/* *came_out: *guest_out is somebody; then call again. Fails only when this process cannot accept
 * connections at all. */
EPX_NODISCARD epx_status epx_door_step(epx_door *door, epx_guest *guest_out, bool *came_out);

#endif /* EPX_COMM_BOOT_DOOR_H */
