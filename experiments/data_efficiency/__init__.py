"""How much data a Transformer needs: S1's figure 4 and S2's section 3.3."""
