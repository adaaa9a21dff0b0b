/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Intrusive red-black tree. The user walks the tree to find the place of a new node, links it and
 * rebalances:
 *
 *     struct rb_node **link = &root->node, *parent = NULL;
 *     while (*link) { parent = *link; link = less(new, parent) ? &parent->left : &parent->right; }
 *     rb_link(&new->rb, parent, link);
 *     rb_insert_fixup(root, &new->rb);
 */
#ifndef CELLA_KERNEL_BASE_RBTREE_H
#define CELLA_KERNEL_BASE_RBTREE_H

#include "base/types.h"

struct rb_node {
    struct rb_node *parent;
    union {
        struct {
            struct rb_node *left, *right;
        };
        struct rb_node *child[2];
    };
    bool red;
};

struct rb_root {
    struct rb_node *node;
};

#define RB_ROOT_INIT                                                                               \
    {                                                                                              \
        NULL                                                                                       \
    }
#define rb_entry(ptr, type, member) container_of(ptr, type, member)

static inline void rb_link(struct rb_node *n, struct rb_node *parent, struct rb_node **link)
{
    n->parent = parent;
    n->left = n->right = NULL;
    n->red = true;
    *link = n;
}

void rb_insert_fixup(struct rb_root *root, struct rb_node *n);
void rb_erase(struct rb_root *root, struct rb_node *n);
struct rb_node *rb_first(const struct rb_root *root);
struct rb_node *rb_last(const struct rb_root *root);
struct rb_node *rb_next(const struct rb_node *n);
struct rb_node *rb_prev(const struct rb_node *n);

#endif
