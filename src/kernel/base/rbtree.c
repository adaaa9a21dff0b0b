/* SPDX-License-Identifier: Apache-2.0 */
/* Red-black tree; Cormen, Leiserson, Rivest, Stein: Introduction to Algorithms, chapter 13, with
 * NULL leaves. */
#include "base/rbtree.h"

/* Sides are numbers, LEFT and RIGHT, so that each case stands here once and not mirrored too. */
enum { LEFT, RIGHT };

static void replace_child(struct rb_root *root, struct rb_node *parent, struct rb_node *old,
                          struct rb_node *new)
{
    if (!parent)
        root->node = new;
    else
        parent->child[parent->left != old] = new;
}

/* x goes down to that side, and its child of the other one takes its place. */
static void rotate(struct rb_root *root, struct rb_node *x, bool side)
{
    struct rb_node *y = x->child[!side];
    x->child[!side] = y->child[side];
    if (y->child[side])
        y->child[side]->parent = x;
    y->parent = x->parent;
    replace_child(root, x->parent, x, y);
    y->child[side] = x;
    x->parent = y;
}

static bool is_red(const struct rb_node *n)
{
    return n && n->red;
}

void rb_insert_fixup(struct rb_root *root, struct rb_node *n)
{
    while (is_red(n->parent)) {
        struct rb_node *p = n->parent, *g = p->parent;
        bool side = p != g->left;
        struct rb_node *uncle = g->child[!side];
        if (is_red(uncle)) {
            p->red = uncle->red = false;
            g->red = true;
            n = g;
            continue;
        }
        if (n == p->child[!side]) {
            n = p;
            rotate(root, n, side);
            p = n->parent;
        }
        p->red = false;
        g->red = true;
        rotate(root, g, !side);
    }
    root->node->red = false;
}

/* `x` (may be NULL) below `parent` is one black node short. */
static void erase_fixup(struct rb_root *root, struct rb_node *x, struct rb_node *parent)
{
    while (x != root->node && !is_red(x)) {
        bool side = x != parent->left;
        struct rb_node *w = parent->child[!side];
        /* x lacks a black node, so w is there. */
        /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
        if (w->red) {
            w->red = false;
            parent->red = true;
            rotate(root, parent, side);
            w = parent->child[!side];
        }
        struct rb_node *near = w->child[side], *far = w->child[!side];
        if (!is_red(near) && !is_red(far)) {
            w->red = true;
            x = parent;
            parent = x->parent;
            continue;
        }
        if (!is_red(far)) {
            near->red = false;
            w->red = true;
            rotate(root, w, !side);
            w = parent->child[!side];
            far = w->child[!side];
        }
        w->red = parent->red;
        parent->red = false;
        far->red = false;
        rotate(root, parent, side);
        x = root->node;
        break;
    }
    if (x)
        x->red = false;
}

void rb_erase(struct rb_root *root, struct rb_node *n)
{
    struct rb_node *child, *parent;
    bool red;
    if (n->left && n->right) {
        struct rb_node *s = n->right;
        while (s->left)
            s = s->left;
        child = s->right;
        parent = s->parent;
        red = s->red;
        if (parent == n) {
            parent = s;
        } else {
            parent->left = child;
            if (child)
                child->parent = parent;
            s->right = n->right;
            n->right->parent = s;
        }
        s->left = n->left;
        n->left->parent = s;
        s->parent = n->parent;
        s->red = n->red;
        replace_child(root, n->parent, n, s);
    } else {
        child = n->left ? n->left : n->right;
        parent = n->parent;
        red = n->red;
        if (child)
            child->parent = parent;
        replace_child(root, parent, n, child);
    }
    if (!red)
        erase_fixup(root, child, parent);
}

/* The last node of n's tree on that side. */
static struct rb_node *extreme(struct rb_node *n, int side)
{
    while (n && n->child[side])
        n = n->child[side];
    return n;
}

/* The neighbour on that side. */
static struct rb_node *step(const struct rb_node *n, int side)
{
    if (n->child[side])
        return extreme(n->child[side], !side);
    struct rb_node *p = n->parent;
    while (p && n == p->child[side]) {
        n = p;
        p = p->parent;
    }
    return p;
}

struct rb_node *rb_first(const struct rb_root *root)
{
    return extreme(root->node, LEFT);
}

struct rb_node *rb_last(const struct rb_root *root)
{
    return extreme(root->node, RIGHT);
}

struct rb_node *rb_next(const struct rb_node *n)
{
    return step(n, RIGHT);
}

struct rb_node *rb_prev(const struct rb_node *n)
{
    return step(n, LEFT);
}
