/* mesh_knock.h - the state of connecting a mesh: one small state machine per pair of neighbours.
 *
 * The lower rank of a pair knocks (connects and sends its proof), the higher one answers with its
 * own. The random parts of both names, gathered over the authenticated boot, are the nonces. */
#ifndef EPX_COMM_BOOT_MESH_KNOCK_H
#define EPX_COMM_BOOT_MESH_KNOCK_H

#include <poll.h>

#include "comm/boot/mesh_peers.h"

#define EPX_MESH_NAME 16
#define EPX_MESH_CARD (4 + EPX_MESH_NAME) /* status, random part of the name */

typedef enum epx_pair {
    EPX_PAIR_NONE,     /* no candidate, or not reachable */
    EPX_PAIR_TO_KNOCK, /* higher rank: still to be connected */
    EPX_PAIR_KNOCKED,  /* higher rank: its answer is due */
    EPX_PAIR_EXPECTED, /* lower rank: its knock is due */
    EPX_PAIR_DONE
} epx_pair;

typedef struct epx_silent {
    int fd; /* owns */
    uint64_t since_ns;
} epx_silent;

typedef struct epx_meshing {
    epx_boot *boot; /* borrows */
    epx_mesh *mesh;
    uint64_t until_ns;
    uint32_t timeout_ms;
    int listen_fd;   /* owns; -1: none */
    uint8_t *cards;  /* owns, [size][EPX_MESH_CARD] */
    epx_pair *pairs; /* owns, [size] */
    bool *late;      /* owns, [size] */
    size_t row_bytes;
    uint8_t *row, *rows; /* own, [row_bytes], [size][row_bytes]: whom a rank could reach */
    epx_silent *waiting; /* owns, [waiting_room] accepted, nothing heard yet; oldest first */
    int num_waiting, waiting_room;
    struct pollfd *polls; /* owns */
} epx_meshing;

EPX_NODISCARD epx_status epx_mesh_listen(epx_meshing *m, const uint8_t name[EPX_MESH_NAME]);
/* Leaves the pair TO_KNOCK when its queue is full. */
void epx_mesh_knock(epx_meshing *m, int32_t to);
/* Accepts, hears knocks and answers, as far as they are here. */
EPX_NODISCARD epx_status epx_mesh_hear(epx_meshing *m);

#endif /* EPX_COMM_BOOT_MESH_KNOCK_H */
