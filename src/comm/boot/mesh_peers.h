/* mesh_peers.h - inside of a mesh: one socket per neighbour, and messages that came too early.
 *
 * Sockets stay open until the mesh closes, so their numbers are never reused under a caller that
 * watches them; a lost neighbour's is only no longer handed out. */
#ifndef EPX_COMM_BOOT_MESH_PEERS_H
#define EPX_COMM_BOOT_MESH_PEERS_H

#include "comm/boot/mesh.h"

#define EPX_MESH_STASH 32

typedef struct epx_mesh_peer {
    int fd; /* owns; -1: no neighbour */
    bool lost;
} epx_mesh_peer;

/* Descriptors that came before they were asked for. */
typedef struct epx_mesh_parcel {
    int32_t rank;
    int count; /* 0: free */
    uint64_t tag;
    uint64_t number;           /* order of arrival */
    int fds[EPX_MESH_MAX_FDS]; /* owns */
} epx_mesh_parcel;

struct epx_mesh {
    int32_t size;
    epx_mesh_peer *peers; /* owns, [size] */
    uint64_t arrivals;
    epx_mesh_parcel stash[EPX_MESH_STASH];
};

#endif /* EPX_COMM_BOOT_MESH_PEERS_H */
