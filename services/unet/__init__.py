"""What the families with a UNet share: how they are asked, how they answer, the loop around them."""
