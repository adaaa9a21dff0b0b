/* SPDX-License-Identifier: Apache-2.0 */
/* Red-black tree; Cormen, Leiserson, Rivest, Stein: Introduction to Algorithms, chapter 13, with
 * NULL leaves. */
#include "base/rbtree.h"

static void replace_child(struct rb_root *root, struct rb_node *parent, struct rb_node *old,
                          struct rb_node *new)
{
    if (!parent)
        root->node = new;
    else if (parent->left == old)
        parent->left = new;
    else
        parent->right = new;
}

static void rotate_left(struct rb_root *root, struct rb_node *x)
{
    struct rb_node *y = x->right;
    x->right = y->left;
    if (y->left)
        y->left->parent = x;
    y->parent = x->parent;
    replace_child(root, x->parent, x, y);
    y->left = x;
    x->parent = y;
}

static void rotate_right(struct rb_root *root, struct rb_node *x)
{
    struct rb_node *y = x->left;
    x->left = y->right;
    if (y->right)
        y->right->parent = x;
    y->parent = x->parent;
    replace_child(root, x->parent, x, y);
    y->right = x;
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
        bool left = p == g->left;
        struct rb_node *uncle = left ? g->right : g->left;
        if (is_red(uncle)) {
            p->red = uncle->red = false;
            g->red = true;
            n = g;
            continue;
        }
        if (n == (left ? p->right : p->left)) {
            n = p;
            if (left)
                rotate_left(root, n);
            else
                rotate_right(root, n);
            p = n->parent;
        }
        p->red = false;
        g->red = true;
        if (left)
            rotate_right(root, g);
        else
            rotate_left(root, g);
    }
    root->node->red = false;
}

/* `x` (may be NULL) below `parent` is one black node short. */
static void erase_fixup(struct rb_root *root, struct rb_node *x, struct rb_node *parent)
{
    while (x != root->node && !is_red(x)) {
        bool left = x == parent->left;
        struct rb_node *w = left ? parent->right : parent->left;
        /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): x lacks a black node, so w is there */
        if (w->red) {
            w->red = false;
            parent->red = true;
            if (left)
                rotate_left(root, parent);
            else
                rotate_right(root, parent);
            w = left ? parent->right : parent->left;
        }
        struct rb_node *near = left ? w->left : w->right, *far = left ? w->right : w->left;
        if (!is_red(near) && !is_red(far)) {
            w->red = true;
            x = parent;
            parent = x->parent;
            continue;
        }
        if (!is_red(far)) {
            near->red = false;
            w->red = true;
            if (left)
                rotate_right(root, w);
            else
                rotate_left(root, w);
            w = left ? parent->right : parent->left;
            far = left ? w->right : w->left;
        }
        w->red = parent->red;
        parent->red = false;
        far->red = false;
        if (left)
            rotate_left(root, parent);
        else
            rotate_right(root, parent);
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

struct rb_node *rb_first(const struct rb_root *root)
{
    struct rb_node *n = root->node;
    while (n && n->left)
        n = n->left;
    return n;
}

struct rb_node *rb_last(const struct rb_root *root)
{
    struct rb_node *n = root->node;
    while (n && n->right)
        n = n->right;
    return n;
}

struct rb_node *rb_next(const struct rb_node *n)
{
    if (n->right) {
        n = n->right;
        while (n->left)
            n = n->left;
        return (struct rb_node *)(uintptr_t)n;
    }
    const struct rb_node *p = n->parent;
    while (p && n == p->right) {
        n = p;
        p = p->parent;
    }
    return (struct rb_node *)(uintptr_t)p;
}

struct rb_node *rb_prev(const struct rb_node *n)
{
    if (n->left) {
        n = n->left;
        while (n->right)
            n = n->right;
        return (struct rb_node *)(uintptr_t)n;
    }
    const struct rb_node *p = n->parent;
    while (p && n == p->left) {
        n = p;
        p = p->parent;
    }
    return (struct rb_node *)(uintptr_t)p;
}
