/* node.h - which ranks share a node: those that can map each other's memory.
 *
 * Candidates have equal boot ids (or equal EPX_NODE names); a pair is confirmed by passing a memfd
 * over a Unix socket and reading, through the mapping, what the other wrote: containers share a
 * boot id. With EPX_NODE, ranks of different names are different nodes even on one host. */
#ifndef EPX_COMM_TOPO_NODE_H
#define EPX_COMM_TOPO_NODE_H

#include "comm/boot/boot.h"
#include "comm/boot/mesh.h"

/* Collective over boot. node_key_out[boot->size] gets the lowest rank of each rank's node: equal on
 * all ranks. *mesh_out connects this rank with the members of its node, NULL when it is alone.
 * node_name: cfg.node or EPX_NODE, "" to detect. */
EPX_NODISCARD epx_status epx_node_find(epx_boot *boot, const char *node_name, uint32_t timeout_ms,
                                       int32_t *node_key_out, epx_mesh **mesh_out);

#endif /* EPX_COMM_TOPO_NODE_H */
