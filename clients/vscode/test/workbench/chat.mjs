export async function checkChat() {}
